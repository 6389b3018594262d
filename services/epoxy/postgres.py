"""Hosts, boots and locks in PostgreSQL, so that several servers may share them. The same promises as the SQLite file.

Desired and observed halves are separate tables, as there. Every lock on rows is taken in one order (revision, observed,
desired; hosts by name), so that two transactions cannot wait for each other. Administrators' writes pass one after the
other through the row of the revision; boots of different hosts do not wait for them, nor for each other.

A connection that broke while it committed leaves open whether the write was made, as with any database over a network:
the caller gets `StoreError`, and a machine's retry finds out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import psycopg

from services.epoxy import locks, postgres_batch, postgres_schema, records, rows, sessions, store
from services.epoxy import postgres_connections as connections
from services.epoxy.postgres_connections import Connection

_LOCKS = f"SELECT {rows.LOCK_COLUMNS} FROM lock WHERE scope = %s"
_LOCK_INSERT = f"INSERT INTO lock ({rows.LOCK_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)"


class PostgresStore:
    """A `store.Store` in the schema `epoxy` of a database that the user may create it in; any number may share it."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for an unusable URL, `StoreError` where the database does not answer or is too new."""
        with connections.translated(), psycopg.connect(connections.information(url)) as db:
            postgres_schema.migrate(db, url)
        self._pool = connections.pool(url)

    def get(self, name: str) -> records.Host | None:
        with self._transaction() as db:
            return _get(db, name)

    def page(self, after: str, limit: int) -> Sequence[records.Host]:
        with self._transaction() as db:
            found = db.execute(
                postgres_batch.HOSTS + " WHERE name > %s ORDER BY name LIMIT %s", (after, limit)
            ).fetchall()
        return [rows.host(row) for row in found]

    def put(self, desired: records.Desired, *, expected: int | None) -> records.Host:
        with self._transaction() as db:
            _serialise(db)
            live = _get(db, desired.name)
            store.check_put(live, desired.name, expected)
            if live is not None and live.desired == desired:
                return live
            (revision,) = _one(db, "UPDATE revision SET last = last + 1 RETURNING last")
            db.execute(
                "INSERT INTO desired VALUES (%s, %s, %s, %s) ON CONFLICT (name)"
                " DO UPDATE SET revision = excluded.revision, retired = excluded.retired, document = excluded.document",
                (desired.name, revision, desired.retired, rows.document(desired)),
            )
            db.execute("INSERT INTO observed (name) VALUES (%s) ON CONFLICT DO NOTHING", (desired.name,))
            return records.Host(desired, records.Observed() if live is None else live.observed, cast(int, revision))

    def delete(self, name: str, *, expected: int) -> None:
        with self._transaction() as db:
            _serialise(db)
            store.check_delete(_get(db, name), name, expected)
            db.execute("SELECT FROM observed WHERE name = %s FOR UPDATE", (name,))
            db.execute("DELETE FROM desired WHERE name = %s", (name,))

    def change(self, wanted: Sequence[store.Wanted]) -> Sequence[sessions.State | Exception]:
        names = sorted({name for name, _ in wanted})
        with self._transaction() as db:
            # Whoever has a host's row here changes it alone; the order of names keeps two batches from a deadlock.
            # A host that is created from now on is none of this batch's: its row is not held.
            lock = "SELECT name FROM observed WHERE name = ANY(%s) ORDER BY name FOR UPDATE"
            held = [str(name) for (name,) in db.execute(lock, (names,))]
            batch = postgres_batch.Batch(*postgres_batch.states(db, held))
            observed = {name: state.host.observed for name, state in batch.states.items()}
            results = [postgres_batch.changed(batch, name, change) for name, change in wanted]
            postgres_batch.write(db, observed, batch)
            return results

    def state(self, name: str) -> sessions.State | None:
        with self._transaction() as db:
            # Two questions about one moment.
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return postgres_batch.states(db, [name])[0].get(name)

    def boots(self, name: str, limit: int) -> Sequence[sessions.Boot]:
        with self._transaction() as db:
            query = "SELECT document FROM boot WHERE host = %s ORDER BY number DESC LIMIT %s"
            return [rows.boot(cast(bytes, document)) for (document,) in db.execute(query, (name, limit))]

    def boot_times(self) -> Sequence[records.BootTimes]:
        query = """SELECT name, retired, last_session_creation_ns, last_success_ns,
 coalesce((SELECT stage FROM boot WHERE host = name ORDER BY number DESC LIMIT 1), '')
 FROM desired JOIN observed USING (name) ORDER BY name"""
        with self._transaction() as db:
            return [records.BootTimes(*row) for row in db.execute(query)]  # type: ignore[arg-type]

    def lock(self, scope: str) -> locks.Lock | None:
        with self._transaction() as db:
            return _lock(db, scope)

    def change_lock(self, scope: str, change: Callable[[locks.Lock | None], locks.Lock | None]) -> locks.Lock | None:
        with self._transaction() as db:
            # There may be no row yet that could be locked.
            db.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"epoxy.lock/{scope}",))
            after = change(_lock(db, scope))
            db.execute("DELETE FROM lock WHERE scope = %s", (scope,))
            if after is not None:
                db.execute(_LOCK_INSERT, dataclasses.astuple(after))
            return after

    def check(self) -> None:
        with self._transaction() as db:
            _one(db, "SELECT last FROM revision")

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Committed at its end, rolled back by whatever is raised within."""
        with connections.translated(), self._pool.connection() as db, connections.bounded(db):
            yield db


def _serialise(db: Connection) -> None:
    """Wait for the administrator's writes under way, so that revisions are given in the order in which they count."""
    db.execute("SELECT last FROM revision FOR UPDATE")


def _get(db: Connection, name: str) -> records.Host | None:
    row = db.execute(postgres_batch.HOSTS + " WHERE name = %s", (name,)).fetchone()
    return None if row is None else rows.host(row)


def _lock(db: Connection, scope: str) -> locks.Lock | None:
    row = db.execute(_LOCKS, (scope,)).fetchone()
    return None if row is None else locks.Lock(*row)  # type: ignore[arg-type]


def _one(db: Connection, query: str) -> tuple[object, ...]:
    row = db.execute(query).fetchone()
    assert row is not None, "the row is made with the schema"
    return row
