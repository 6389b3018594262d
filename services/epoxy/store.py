"""What a database must offer to keep hosts, their boots, and locks; chosen by the scheme of a URL.

Calls block and may come from any thread. A write that returned is durable: killing the process loses none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from services.epoxy import locks, records, sessions

Change = Callable[[sessions.State], sessions.State]
Wanted = tuple[str, Change]
KEPT_BOOTS = 50


class StoreError(Exception):
    """The database cannot answer now."""


class Absent(Exception):
    """There is no such record."""


class Moved(Exception):
    """The record is not at the revision that the caller saw; `current` is None where it is absent."""

    def __init__(self, name: str, expected: int | None, current: int | None) -> None:
        super().__init__(name)
        self.name = name
        self.expected = expected
        self.current = current


class Protected(Exception):
    """The record bears a protection and cannot be deleted."""


def check_put(live: records.Host | None, name: str, expected: int | None) -> None:
    """Whether a record may be written over what is there now. Raises `Moved`."""
    current = None if live is None else live.revision
    if current != expected:
        raise Moved(name, expected, current)


def check_delete(live: records.Host | None, name: str, expected: int) -> None:
    """Whether what is there now may be deleted. Raises `Absent`, `Moved` or `Protected`."""
    if live is None:
        raise Absent(name)
    check_put(live, name, expected)
    if live.desired.protect:
        raise Protected(name)


class Store(Protocol):
    """Hosts, boots and locks. `revision` grows with every write of any host and is never given twice."""

    def get(self, name: str) -> records.Host | None: ...

    def page(self, after: str, limit: int) -> Sequence[records.Host]:
        """At most `limit` hosts in order of name, those beyond the name `after`."""

    def put(self, desired: records.Desired, *, expected: int | None) -> records.Host:
        """Write the administrator's half if the record is at `expected` (None: absent). Raises `Moved`.

        A record that is the same already keeps its revision.
        """

    def delete(self, name: str, *, expected: int) -> None:
        """Raises `Absent`, `Moved` or `Protected`."""

    def change(self, wanted: Sequence[Wanted]) -> Sequence[sessions.State | Exception]:
        """Change the server's half of hosts and their latest boots, all in one durable transaction.

        Each function gets the host's present state, in order, and gives what it becomes; of that only `observed` and
        `boot` are written, and the revision stays. What a function raises is its result, and its host stays as it was;
        `Absent` is the result for a host that is not there. Raises `StoreError` where nothing of it was written.
        """

    def state(self, name: str) -> sessions.State | None:
        """One host with its latest boot."""

    def boots(self, name: str, limit: int) -> Sequence[sessions.Boot]:
        """The latest boots of a host, the newest first."""

    def boot_times(self) -> Sequence[records.BootTimes]:
        """What a scrape needs of every host, in order of name."""

    def lock(self, scope: str) -> locks.Lock | None: ...

    def change_lock(self, scope: str, change: Callable[[locks.Lock | None], locks.Lock | None]) -> locks.Lock | None:
        """Replace the lock's row by what `change` makes of it, in one transaction; what it raises passes through."""

    def check(self) -> None:
        """Raises `StoreError` unless the database answers."""

    def close(self) -> None: ...


def connect(url: str) -> Store:
    """Open `sqlite:///absolute/path` or `postgresql://user@host/database`.

    Raises ValueError for what is neither, `StoreError` where opening fails.
    """
    if url.startswith(("postgresql:", "postgres:")):
        from services.epoxy import postgres

        return postgres.PostgresStore(url)
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path.strip("/")) == 0:
        raise ValueError(f"--store {url!r}: give sqlite:///absolute/path or postgresql://user@host/database")
    from services.epoxy import sqlite

    return sqlite.SqliteStore("/" + parts.path.lstrip("/"))
