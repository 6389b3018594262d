"""The books: every file that was seen, wherever it was, in a database on the disk, so that memory stays bounded.

Paths are bytes, the datatype in front: `ndt7/2026/11/25/x.json`. Questions about all of them are questions to the
database, answered in the order of paths.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

_TABLES = """
CREATE TABLE bundle (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE stored (path BLOB NOT NULL, node TEXT NOT NULL, size INTEGER, sha256 BLOB, other BLOB, bundle INTEGER);
CREATE TABLE spool (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TABLE way (path BLOB NOT NULL, journal TEXT NOT NULL, object TEXT NOT NULL);
CREATE TABLE wanted (path BLOB NOT NULL, size INTEGER, sha256 BLOB);
"""
_INDICES = """
CREATE INDEX IF NOT EXISTS stored_path ON stored (path, node);
CREATE INDEX IF NOT EXISTS way_path ON way (path);
"""
_PRAGMAS = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536; PRAGMA temp_store = FILE;"
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Copy:
    """A member of a stored bundle. A content of `size + 1` bytes with the checksum `other` is the same one."""

    path: bytes
    size_bytes: int
    sha256: bytes
    other: bytes
    bundle: str

    def holds(self, size_bytes: int, sha256: bytes) -> bool:
        """Whether it is this content, to the byte."""
        return (size_bytes, sha256) in ((self.size_bytes, self.sha256), (self.size_bytes + 1, self.other))


class Books:
    """Entries are added first; questions come after `balance`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mlab-audit-")
        self._database = sqlite3.connect(Path(self._folder.name) / "books", isolation_level=None)
        self._database.executescript(_PRAGMAS + _TABLES)
        self._bundles = 0

    def __enter__(self) -> Books:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def _many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """In one transaction, as the rows come; all or nothing."""
        self._database.execute("BEGIN")
        try:
            self._database.executemany(statement, rows)
        finally:
            self._database.execute("COMMIT")

    def add_bundle(self, name: str, node: str, members: Iterable[tuple[bytes, int, bytes, bytes]]) -> None:
        """Path, size, both checksums of each member. What came before an error of `members` is kept."""
        self._bundles += 1
        number = self._bundles
        self._database.execute("INSERT INTO bundle VALUES (?, ?)", (number, name))
        self._many("INSERT INTO stored VALUES (?, ?, ?, ?, ?, ?)", ((m[0], node, *m[1:], number) for m in members))

    def add_spool(self, files: Iterable[tuple[bytes, int, int]]) -> None:
        """Path, size, time of writing."""
        self._many("INSERT OR REPLACE INTO spool VALUES (?, ?, ?)", files)

    def add_way(self, journal: str, objects: str, paths: Iterable[bytes]) -> None:
        """Members of a sealed bundle."""
        self._many("INSERT INTO way VALUES (?, ?, ?)", ((path, journal, objects) for path in paths))

    def add_wanted(self, files: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Path, size, checksum of what was written."""
        self._many("INSERT INTO wanted VALUES (?, ?, ?)", files)

    def balance(self) -> None:
        """All entries are made."""
        self._database.executescript(_INDICES)

    def _all(self, question: str, *values: Any) -> Iterator[Any]:
        cursor = self._database.execute(question, values)
        while rows := cursor.fetchmany(_AT_ONCE):
            yield from rows

    def number(self, question: str) -> tuple[int, ...]:
        """One row of whole numbers; nothing is 0."""
        return tuple(value or 0 for value in self._database.execute(question).fetchone())

    def copies(self, path: bytes, node: str | None = None) -> list[Copy]:
        """Of one path, in the order of their bundles."""
        question = (
            "SELECT path, size, sha256, other, name FROM stored JOIN bundle ON bundle.id = stored.bundle"
            " WHERE path = ? AND (? IS NULL OR node = ?) ORDER BY name"
        )
        return [Copy(*row) for row in self._all(question, path, node, node)]

    def repeated(self) -> Iterator[list[Copy]]:
        """All copies of each path that one node stored more than once."""
        question = "SELECT path, node FROM stored GROUP BY path, node HAVING count(*) > 1 ORDER BY path"
        for path, node in self._all(question):
            yield self.copies(path, node)

    def stored_and_there(self) -> Iterator[bytes]:
        """Paths that are stored, lie in the spool, and that no journal has."""
        return (
            path
            for (path,) in self._all(
                "SELECT path FROM spool WHERE EXISTS (SELECT 1 FROM stored WHERE stored.path = spool.path)"
                " AND NOT EXISTS (SELECT 1 FROM way WHERE way.path = spool.path) ORDER BY path"
            )
        )

    def on_no_side(self) -> Iterator[tuple[bytes, str]]:
        """Path and object of what a journal has, and which is neither stored nor in the spool."""
        return self._all(
            "SELECT path, object FROM way WHERE NOT EXISTS (SELECT 1 FROM stored WHERE stored.path = way.path)"
            " AND NOT EXISTS (SELECT 1 FROM spool WHERE spool.path = way.path) ORDER BY path"
        )

    def wanted(self) -> Iterator[tuple[bytes, int, bytes, int]]:
        """Path, size and checksum of what was written, and whether a file of this name is in the spool."""
        return self._all(
            "SELECT path, size, sha256, EXISTS (SELECT 1 FROM spool WHERE spool.path = wanted.path)"
            " FROM wanted ORDER BY path"
        )
