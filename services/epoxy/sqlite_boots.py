"""The boots of each host in SQLite: one row a boot, its document whole, the newest with the highest number.

A boot is written as often as the machine asks, so that after a kill the next request finds how far it had come. Rows
beyond those kept are deleted with the write of a new one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from services.epoxy import rows, sessions

SCHEMA = """
CREATE TABLE boot (
  host TEXT NOT NULL REFERENCES desired (name) ON DELETE CASCADE, number INTEGER NOT NULL,
  began_ns INTEGER NOT NULL, stage TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (host, number)
) STRICT, WITHOUT ROWID;
"""
STAGE_OF_LATEST = "SELECT stage FROM boot WHERE host = name ORDER BY number DESC LIMIT 1"


def latest(db: sqlite3.Connection, host: str, limit: int) -> Sequence[sessions.Boot]:
    found = db.execute("SELECT document FROM boot WHERE host = ? ORDER BY number DESC LIMIT ?", (host, limit))
    return [rows.boot(document) for (document,) in found]


def began(db: sqlite3.Connection, host: str) -> tuple[int, ...]:
    """When the kept boots began, the newest first."""
    found = db.execute("SELECT began_ns FROM boot WHERE host = ? ORDER BY number DESC", (host,))
    return tuple(instant_ns for (instant_ns,) in found)


def write(db: sqlite3.Connection, host: str, boot: sessions.Boot, *, kept: int) -> None:
    db.execute(
        "INSERT INTO boot VALUES (?, ?, ?, ?, ?) ON CONFLICT (host, number)"
        " DO UPDATE SET began_ns = excluded.began_ns, stage = excluded.stage, document = excluded.document",
        (host, boot.number, boot.began_ns, boot.stage.value, rows.encoded(boot)),
    )
    db.execute("DELETE FROM boot WHERE host = ? AND number <= ?", (host, boot.number - kept))
