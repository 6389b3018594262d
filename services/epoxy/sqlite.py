"""Hosts, boots and locks in one SQLite file, in WAL mode, synchronised: an acknowledged write survives the power.

Desired and observed halves are separate tables, so that neither owner's statement can name the other's columns.
Writes run one at a time in immediate transactions; reads have a connection of their own and never wait for a write.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services.epoxy import locks, records, rows, sessions, sqlite_boots, store

SCHEMA_VERSION = 2
BUSY_TIMEOUT_MS = 5000
_SCHEMAS = (
    """
CREATE TABLE desired (
  name TEXT PRIMARY KEY, revision INTEGER NOT NULL UNIQUE, document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE observed (
  name TEXT PRIMARY KEY REFERENCES desired (name) ON DELETE CASCADE,
  update_enabled INTEGER NOT NULL DEFAULT 0,
  current_session_ids TEXT NOT NULL DEFAULT '{}',
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
""",
    f"ALTER TABLE observed ADD COLUMN next_boot TEXT; {sqlite_boots.SCHEMA}",
)
"""What leads from each version of the schema to the next."""

_HOSTS = f"SELECT {rows.HOST_COLUMNS} FROM desired JOIN observed USING (name)"
_OBSERVE = f"UPDATE observed SET {', '.join(f'{column} = ?' for column in rows.OBSERVED_COLUMNS)} WHERE name = ?"
_LOCKS = f"SELECT {rows.LOCK_COLUMNS} FROM lock WHERE scope = ?"
_LOCK_INSERT = f"INSERT INTO lock ({rows.LOCK_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"


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
            found = db.execute(f"{_HOSTS} WHERE name > ? ORDER BY name LIMIT ?", (after, limit)).fetchall()
        return [rows.host(row) for row in found]

    def put(self, desired: records.Desired, *, expected: int | None) -> records.Host:
        with self._writing() as db:
            live = _get(db, desired.name)
            store.check_put(live, desired.name, expected)
            if live is not None and live.desired == desired:
                return live
            (revision,) = db.execute("UPDATE revision SET last = last + 1 RETURNING last").fetchone()
            db.execute(
                "INSERT INTO desired VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, document = excluded.document",
                (desired.name, revision, rows.document(desired)),
            )
            db.execute("INSERT OR IGNORE INTO observed (name) VALUES (?)", (desired.name,))
            return records.Host(desired, records.Observed() if live is None else live.observed, revision)

    def delete(self, name: str, *, expected: int) -> None:
        with self._writing() as db:
            store.check_delete(_get(db, name), name, expected)
            db.execute("DELETE FROM desired WHERE name = ?", (name,))

    def change(self, wanted: Sequence[store.Wanted]) -> Sequence[sessions.State | Exception]:
        with self._writing() as db:
            return [_change(db, name, change) for name, change in wanted]

    def state(self, name: str) -> sessions.State | None:
        with self._reading() as db:
            return _state(db, name)

    def boots(self, name: str, limit: int) -> Sequence[sessions.Boot]:
        with self._reading() as db:
            return sqlite_boots.latest(db, name, limit)

    def boot_times(self) -> Sequence[records.BootTimes]:
        with self._reading() as db:
            found = db.execute(
                "SELECT name, document ->> 'Retired', last_session_creation_ns, last_success_ns,"
                f" coalesce(({sqlite_boots.STAGE_OF_LATEST}), '')"
                " FROM desired JOIN observed USING (name) ORDER BY name"
            ).fetchall()
        return [records.BootTimes(name, bool(retired), *seen) for name, retired, *seen in found]

    def lock(self, scope: str) -> locks.Lock | None:
        with self._reading() as db:
            return _lock(db, scope)

    def change_lock(self, scope: str, change: Callable[[locks.Lock | None], locks.Lock | None]) -> locks.Lock | None:
        with self._writing() as db:
            after = change(_lock(db, scope))
            db.execute("DELETE FROM lock WHERE scope = ?", (scope,))
            if after is not None:
                db.execute(_LOCK_INSERT, dataclasses.astuple(after))
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
        for schema in _SCHEMAS[version:]:
            for statement in schema.split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _change(db: sqlite3.Connection, name: str, change: store.Change) -> sessions.State | Exception:
    before = _state(db, name)
    if before is None:
        return store.Absent(name)
    try:
        after = change(before)
    except Exception as refusal:
        return refusal
    if after.host.observed != before.host.observed:
        db.execute(_OBSERVE, (*rows.observed(after.host.observed), name))
    if after.boot is not None and after.boot != before.boot:
        sqlite_boots.write(db, name, after.boot, kept=store.KEPT_BOOTS)
    return after


def _state(db: sqlite3.Connection, name: str) -> sessions.State | None:
    host = _get(db, name)
    if host is None:
        return None
    found = sqlite_boots.latest(db, name, 1)
    return sessions.State(host, found[0] if found else None, sqlite_boots.began(db, name))


def _get(db: sqlite3.Connection, name: str) -> records.Host | None:
    row = db.execute(f"{_HOSTS} WHERE name = ?", (name,)).fetchone()
    return None if row is None else rows.host(row)


def _lock(db: sqlite3.Connection, scope: str) -> locks.Lock | None:
    row = db.execute(_LOCKS, (scope,)).fetchone()
    return None if row is None else locks.Lock(*row)
