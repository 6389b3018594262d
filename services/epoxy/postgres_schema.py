"""The tables of the store in PostgreSQL, and what leads from each version of them to the next."""

from __future__ import annotations

from typing import cast

from services.epoxy import store
from services.epoxy.postgres_connections import Connection

VERSION = 1
_SCHEMAS: tuple[str, ...] = (
    """
CREATE TABLE revision (last BIGINT NOT NULL);
INSERT INTO revision VALUES (0);
CREATE TABLE desired (
  name TEXT COLLATE "C" PRIMARY KEY, revision BIGINT NOT NULL UNIQUE, retired BOOLEAN NOT NULL, document TEXT NOT NULL
);
CREATE TABLE observed (
  name TEXT COLLATE "C" PRIMARY KEY REFERENCES desired ON DELETE CASCADE,
  update_enabled INTEGER NOT NULL DEFAULT 0,
  current_session_ids TEXT NOT NULL DEFAULT '{}',
  last_session_creation_ns BIGINT NOT NULL DEFAULT 0,
  last_report_ns BIGINT NOT NULL DEFAULT 0,
  last_success_ns BIGINT NOT NULL DEFAULT 0,
  collected_information TEXT NOT NULL DEFAULT '{}',
  next_boot TEXT
);
CREATE TABLE boot (
  host TEXT COLLATE "C" NOT NULL REFERENCES observed ON DELETE CASCADE, number BIGINT NOT NULL,
  began_ns BIGINT NOT NULL, stage TEXT NOT NULL, document BYTEA NOT NULL, PRIMARY KEY (host, number)
);
CREATE TABLE lock (
  scope TEXT PRIMARY KEY, identity TEXT NOT NULL, actor TEXT NOT NULL, run_url TEXT NOT NULL,
  started TEXT NOT NULL, expires_s DOUBLE PRECISION NOT NULL
);
""",
)
"""What leads from each version of the schema to the next."""


def migrate(db: Connection, url: str) -> None:
    """Bring the schema to this version; of two servers that start at once, one does it and the other waits."""
    db.execute("SELECT pg_advisory_xact_lock(hashtextextended('epoxy.schema', 0))")
    db.execute("CREATE SCHEMA IF NOT EXISTS epoxy")
    db.execute("CREATE TABLE IF NOT EXISTS version (number INTEGER NOT NULL)")
    row = db.execute("SELECT number FROM version").fetchone()
    version = 0 if row is None else cast(int, row[0])
    if version > VERSION:
        raise store.StoreError(f"{url}: schema {version} is newer than {VERSION}; run a newer service")
    for schema in _SCHEMAS[version:]:
        db.execute(schema)
    if version != VERSION:
        db.execute("DELETE FROM version")
        db.execute("INSERT INTO version VALUES (%s)", (VERSION,))
