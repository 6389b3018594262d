"""Durable state: SQLite for everything that is small, files beside it for large contents.

One thread writes. It takes all waiting writes into one transaction, each in a savepoint of its own, and answers
them after the commit has reached the disk (`synchronous=FULL`): many clients share one fsync, and whoever got an
answer has a durable object. Content files are written and synced before the row that names them is committed, and
removed after the commit that forgets them; what a crash leaves between is swept at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

BATCH = 128
"""Writes that may share one commit: bounds the wait of the first of them."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets(
  name TEXT PRIMARY KEY, project TEXT NOT NULL, metageneration INTEGER NOT NULL,
  doc TEXT NOT NULL, policy TEXT NOT NULL, policy_version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents(id INTEGER PRIMARY KEY, data BLOB, file TEXT);
CREATE TABLE IF NOT EXISTS objects(
  bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, metageneration INTEGER NOT NULL,
  live INTEGER NOT NULL, size INTEGER NOT NULL, content INTEGER NOT NULL, doc TEXT NOT NULL,
  PRIMARY KEY(bucket, name, generation)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS objects_live ON objects(bucket, name) WHERE live = 1;
CREATE INDEX IF NOT EXISTS objects_content ON objects(content);
CREATE TABLE IF NOT EXISTS uploads(
  id TEXT PRIMARY KEY, bucket TEXT NOT NULL, request TEXT NOT NULL, file TEXT NOT NULL,
  received INTEGER NOT NULL, result TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events(
  id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, bucket TEXT NOT NULL, name TEXT NOT NULL,
  generation INTEGER NOT NULL, time TEXT NOT NULL, doc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS subscriptions(
  id INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, bucket TEXT NOT NULL, position INTEGER NOT NULL);
"""

log = logging.getLogger("objectstore")


def timestamp(at: float | None = None) -> str:
    """RFC 3339 in UTC with milliseconds, as the API writes it."""
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass(slots=True)
class Transaction:
    """What one write may use; valid only while its work runs on the writer's thread."""

    connection: sqlite3.Connection
    next_generation: Callable[[], int]
    released: list[int] = field(default_factory=list)
    """Contents that an object named before this write: those that none names when it ends are dropped."""
    forgotten_files: list[str] = field(default_factory=list)
    """Files to remove after the commit."""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self.connection.execute(statement, values)

    def settle(self) -> None:
        """End a write: drop what it released. Not earlier, since a copy onto itself names its content again."""
        for content in self.released:
            if self.execute("SELECT 1 FROM objects WHERE content = ? LIMIT 1", content).fetchone():
                continue
            row = self.execute("SELECT file FROM contents WHERE id = ?", content).fetchone()
            if row and row[0]:
                self.forgotten_files.append(row[0])
            self.execute("DELETE FROM contents WHERE id = ?", content)
        self.released.clear()


@dataclass(frozen=True, slots=True)
class Crash:
    """A power cut that a test has ordered: before or after the next commit but `commits`."""

    moment: str
    commits: int


@dataclass(slots=True)
class _Job:
    work: Callable[[Transaction], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Store:
    """The connections and the writer's thread. `reader` belongs to the event loop and sees committed data only."""

    def __init__(self, directory: Path) -> None:
        self.files = directory / "contents"
        self.files.mkdir(parents=True, exist_ok=True)
        self.changed = asyncio.Event()
        self.crash: Crash | None = None
        self._path = directory / "store.sqlite"
        self._writer = self._connect()
        self._writer.executescript(SCHEMA)
        self.reader = self._connect()
        self.reader.execute("PRAGMA query_only = ON")
        row = self._writer.execute(
            "SELECT max(g) FROM (SELECT max(generation) g FROM objects UNION SELECT max(generation) FROM events)"
        ).fetchone()
        self._generation = int(row[0] or 0)
        self._sweep()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="objectstore-writer")
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -32768")
        return connection

    def _sweep(self) -> None:
        """Remove files that nothing names: leftovers of a killed server."""
        known = {row[0] for row in self._writer.execute("SELECT file FROM contents WHERE file IS NOT NULL")}
        known |= {row[0] for row in self._writer.execute("SELECT file FROM uploads WHERE result IS NULL")}
        for path in self.files.iterdir():
            if path.name not in known:
                path.unlink()

    def _next_generation(self) -> int:
        """Microseconds of now, and always more than before: unique and increasing over restarts."""
        self._generation = max(self._generation + 1, time.time_ns() // 1000)
        return self._generation

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; return its value once that is on disk. Its exception undoes it alone."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, future, loop))
        return await asyncio.shield(future)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, closing = [job], False
            while len(batch) < BATCH and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    closing = True
                    break
                batch.append(following)
            self._commit(batch)
            if closing:
                return

    def _commit(self, batch: list[_Job]) -> None:
        transaction = Transaction(self._writer, self._next_generation)
        results: list[tuple[Any, Exception | None]] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for job in batch:
                results.append(self._attempt(job, transaction))
            self._crash_if_due("before")
            self._writer.execute("COMMIT")
            self._crash_if_due("after")
        except sqlite3.Error as error:
            log.error("commit failed: %s", error)
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            results = [(None, error)] * len(batch)
            transaction.forgotten_files.clear()
        for name in transaction.forgotten_files:
            (self.files / name).unlink(missing_ok=True)
        batch[0].loop.call_soon_threadsafe(self._answer, batch, results)

    def _crash_if_due(self, moment: str) -> None:
        if self.crash is None or self.crash.moment != moment:
            return
        if self.crash.commits == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.crash = Crash(moment, self.crash.commits - 1)

    def _attempt(self, job: _Job, transaction: Transaction) -> tuple[Any, Exception | None]:
        self._writer.execute("SAVEPOINT job")
        forgotten = len(transaction.forgotten_files)
        try:
            value = job.work(transaction)
            transaction.settle()
        except Exception as error:
            self._writer.execute("ROLLBACK TO job")
            self._writer.execute("RELEASE job")
            transaction.released.clear()
            del transaction.forgotten_files[forgotten:]
            return None, error
        self._writer.execute("RELEASE job")
        return value, None

    def _answer(self, batch: list[_Job], results: list[tuple[Any, Exception | None]]) -> None:
        for job, (value, error) in zip(batch, results, strict=True):
            if job.future.done():
                continue
            if error is None:
                job.future.set_result(value)
            else:
                job.future.set_exception(error)
        waiting, self.changed = self.changed, asyncio.Event()
        waiting.set()

    def close(self) -> None:
        """Finish what is queued, then close; the log is folded into the database."""
        self._jobs.put(None)
        self._thread.join()
        self.reader.close()
        self._writer.close()


def sync_directory(path: Path) -> None:
    """Make a new directory entry durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
