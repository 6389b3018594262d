"""Hosts and locks in one SQLite file, in WAL mode with full synchronisation: an acknowledged write survives the power.

Desired and observed halves are separate tables, so that neither owner's statement can name the other's columns.
Writes run one at a time in immediate transactions; reads have a connection of their own and never wait for a write.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from services.epoxy import locks, records, store

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 5000
_SCHEMA = """
CREATE TABLE desired (
  name TEXT PRIMARY KEY, revision INTEGER NOT NULL UNIQUE, document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE observed (
  name TEXT PRIMARY KEY REFERENCES desired (name) ON DELETE CASCADE,
  update_enabled INTEGER NOT NULL DEFAULT 0,
  last_session_creation_ns INTEGER NOT NULL DEFAULT 0,
  last_report_ns INTEGER NOT NULL DEFAULT 0,
  last_success_ns INTEGER NOT NULL DEFAULT 0,
  collected_information TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;
CREATE TABLE revision (last INTEGER NOT NULL) STRICT;
INSERT INTO revision VALUES (0);
CREATE TABLE lock (
  scope TEXT PRIMARY KEY, identity TEXT NOT NULL, actor TEXT NOT NULL, run_url TEXT NOT NULL,
  started TEXT NOT NULL, expires_s REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""
_HOSTS = """SELECT document, revision, update_enabled, last_session_creation_ns, last_report_ns, last_success_ns,
 collected_information FROM desired JOIN observed USING (name)"""


class SqliteStore:
    """A `store.Store` in one file; two processes may share it."""

    def __init__(self, path: str) -> None:
        self._guard = {"read": threading.Lock(), "write": threading.Lock()}
        with _translated():
            self._writer = _open(path)
            try:
                _migrate(self._writer, path)
                self._reader = _open(path)
            except BaseException:
                self._writer.close()
                raise

    def get(self, name: str) -> records.Host | None:
        with self._reading() as db:
            return _get(db, name)

    def page(self, after: str, limit: int) -> Sequence[records.Host]:
        with self._reading() as db:
            rows = db.execute(f"{_HOSTS} WHERE name > ? ORDER BY name LIMIT ?", (after, limit)).fetchall()
        return [_host(row) for row in rows]

    def put(self, desired: records.Desired, *, expected: int | None) -> records.Host:
        with self._writing() as db:
            live = _get(db, desired.name)
            current = None if live is None else live.revision
            if current != expected:
                raise store.Moved(desired.name, expected, current)
            if live is not None and live.desired == desired:
                return live
            (revision,) = db.execute("UPDATE revision SET last = last + 1 RETURNING last").fetchone()
            document = json.dumps(desired.json(), separators=(",", ":"))
            db.execute(
                "INSERT INTO desired VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, document = excluded.document",
                (desired.name, revision, document),
            )
            db.execute("INSERT OR IGNORE INTO observed (name) VALUES (?)", (desired.name,))
            return records.Host(desired, records.Observed() if live is None else live.observed, revision)

    def delete(self, name: str, *, expected: int) -> None:
        with self._writing() as db:
            live = _get(db, name)
            if live is None:
                raise store.Absent(name)
            if live.revision != expected:
                raise store.Moved(name, expected, live.revision)
            if live.desired.protect:
                raise store.Protected(name)
            db.execute("DELETE FROM desired WHERE name = ?", (name,))

    def observe(self, name: str, change: Callable[[records.Observed], records.Observed]) -> records.Host:
        with self._writing() as db:
            live = _get(db, name)
            if live is None:
                raise store.Absent(name)
            seen = change(live.observed)
            db.execute(
                "UPDATE observed SET update_enabled = ?, last_session_creation_ns = ?, last_report_ns = ?,"
                " last_success_ns = ?, collected_information = ? WHERE name = ?",
                (
                    int(seen.update_enabled),
                    seen.last_session_creation_ns,
                    seen.last_report_ns,
                    seen.last_success_ns,
                    json.dumps(dict(seen.collected_information)),
                    name,
                ),
            )
            return records.Host(live.desired, seen, live.revision)

    def boot_times(self) -> Sequence[records.BootTimes]:
        with self._reading() as db:
            rows = db.execute(
                "SELECT name, document ->> 'Retired', last_session_creation_ns, last_success_ns"
                " FROM desired JOIN observed USING (name) ORDER BY name"
            ).fetchall()
        return [records.BootTimes(name, bool(retired), boot, success) for name, retired, boot, success in rows]

    def lock(self, scope: str) -> locks.Lock | None:
        with self._reading() as db:
            return _lock(db, scope)

    def change_lock(self, scope: str, change: Callable[[locks.Lock | None], locks.Lock | None]) -> locks.Lock | None:
        with self._writing() as db:
            after = change(_lock(db, scope))
            db.execute("DELETE FROM lock WHERE scope = ?", (scope,))
            if after is not None:
                row = (after.scope, after.identity, after.actor, after.run_url, after.started, after.expires_s)
                db.execute("INSERT INTO lock VALUES (?, ?, ?, ?, ?, ?)", row)
            return after

    def check(self) -> None:
        with self._reading() as db:
            db.execute("SELECT last FROM revision").fetchone()

    def close(self) -> None:
        with self._guard["read"], self._guard["write"]:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._guard["read"], _translated():
            yield self._reader

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._guard["write"], _translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise store.StoreError(f"SQLite: {error}") from error


def _open(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: str) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise store.StoreError(f"{path}: schema {version} is newer than {SCHEMA_VERSION}; run a newer service")
        if version == 0:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _get(db: sqlite3.Connection, name: str) -> records.Host | None:
    row = db.execute(f"{_HOSTS} WHERE name = ?", (name,)).fetchone()
    return None if row is None else _host(row)


def _host(row: tuple[Any, ...]) -> records.Host:
    document, revision, update_enabled, boot, report, success, collected = row
    data = json.loads(document)
    desired = records.Desired(
        name=data["Name"],
        ipv4_addr=data["IPv4Addr"],
        boot=data["Boot"],
        update=data["Update"],
        images_version=data["ImagesVersion"],
        extensions=tuple(data["Extensions"]),
        retired=data["Retired"],
        protect=data["Protect"],
        owner=None if data["Owner"] is None else records.Mark(**data["Owner"]),
    )
    observed = records.Observed(bool(update_enabled), boot, report, success, json.loads(collected))
    return records.Host(desired, observed, revision)


def _lock(db: sqlite3.Connection, scope: str) -> locks.Lock | None:
    row = db.execute(
        "SELECT scope, identity, actor, run_url, started, expires_s FROM lock WHERE scope = ?", (scope,)
    ).fetchone()
    return None if row is None else locks.Lock(*row)
