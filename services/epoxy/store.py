"""What a database must offer to keep hosts and locks. One implementation today, chosen by the scheme of a URL.

Calls block and may come from any thread. A write that returned is durable: killing the process loses none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from services.epoxy import locks, records


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


class Store(Protocol):
    """Hosts and locks. `revision` grows with every write of any host and is never given twice."""

    def get(self, name: str) -> records.Host | None: ...

    def page(self, after: str, limit: int) -> Sequence[records.Host]:
        """At most `limit` hosts in order of name, those beyond the name `after`."""

    def put(self, desired: records.Desired, *, expected: int | None) -> records.Host:
        """Write the administrator's half if the record is at `expected` (None: absent). Raises `Moved`.

        A record that is the same already keeps its revision.
        """

    def delete(self, name: str, *, expected: int) -> None:
        """Raises `Absent`, `Moved` or `Protected`."""

    def observe(self, name: str, change: Callable[[records.Observed], records.Observed]) -> records.Host:
        """Change the server's half in one transaction; the revision stays. Raises `Absent`."""

    def boot_times(self) -> Sequence[records.BootTimes]: ...

    def lock(self, scope: str) -> locks.Lock | None: ...

    def change_lock(self, scope: str, change: Callable[[locks.Lock | None], locks.Lock | None]) -> locks.Lock | None:
        """Replace the lock's row by what `change` makes of it, in one transaction; what it raises passes through."""

    def check(self) -> None:
        """Raises `StoreError` unless the database answers."""

    def close(self) -> None: ...


def connect(url: str) -> Store:
    """Open `sqlite:///absolute/path`. Raises ValueError for another scheme, `StoreError` where opening fails."""
    from services.epoxy import sqlite

    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path.strip("/")) == 0:
        raise ValueError(f"--store {url!r}: give sqlite:///absolute/path")
    return sqlite.SqliteStore("/" + parts.path.lstrip("/"))
