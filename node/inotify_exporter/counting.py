"""Counts what happens to the files of one folder, each event once.

Only files below a date, `20YY/MM/DD/`, count. Files of a new directory may have been made before it was watched: they
count when the listing finds them, and their events, if there are any, come later and are then no news. What was there
before the start, or may have happened while the kernel dropped events, is not counted: the counters tell what was seen.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing

from node.inotify_exporter import meters
from node.watch import closed, tree
from node.watch.tree import Kind

_LOG = logging.getLogger("inotify-exporter")
_DATE = re.compile(rb"20[0-9]{2}/(0[1-9]|1[0-2])/(0[1-9]|[12][0-9]|3[01])/")
_EVENTS = {Kind.CREATED: "create", Kind.DELETED: "delete", Kind.CLOSED: "closewrite"}
AHEAD_S = 30.0
"""How long an event may come after the listing that told the same: as long as it may wait in queues."""
AHEAD = 100_000
AT_ONCE = 10_000
RETRY_S = 5.0


class _Ahead:
    """What a listing told before its event; forgotten after a while, and bounded."""

    def __init__(self) -> None:
        self._new: set[tuple[Kind, bytes]] = set()
        self._old: set[tuple[Kind, bytes]] = set()
        self._turned_s = time.monotonic()

    def add(self, kind: Kind, path: bytes) -> None:
        now = time.monotonic()
        if now - self._turned_s > AHEAD_S or len(self._new) >= AHEAD:
            self._old, self._new, self._turned_s = self._new, set(), now
        self._new.add((kind, path))

    def take(self, kind: Kind, path: bytes) -> bool:
        """Whether it was told, and once only."""
        for told in (self._new, self._old):
            if (kind, path) in told:
                told.remove((kind, path))
                return True
        return False


class Counting:
    """One folder. A folder that cannot be watched is logged and tried again."""

    def __init__(self, path: str, count: meters.Meters, *, log_events: bool) -> None:
        self.path = os.fsencode(path).decode(errors="replace")
        self._folder = os.fsencode(path)
        self._count = count
        self._log_events = log_events
        self._tree: tree.Tree | None = None
        self._retry_s = 0.0
        self._refused = False
        self._ahead = _Ahead()
        self._newest_ns = 0
        count.begin(self.path)

    def open(self) -> tree.Tree | None:
        """The folder's watch, if there is one by now."""
        now = time.monotonic()
        if self._tree is None and now >= self._retry_s:
            self._retry_s = now + RETRY_S
            try:
                self._tree = tree.Tree(self._folder, deletions=True)
                self._refused = False
            except tree.WatchError as error:
                if not self._refused:
                    _LOG.error("%s; tried again every %g s", error, RETRY_S)
                self._refused = True
        return self._tree

    def count(self) -> None:
        """What happened until now, or a good part of it."""
        if self._tree is None:
            return
        with closing(self._tree.happened()) as happened:
            for kind, path in itertools.islice(happened, AT_ONCE):
                if _DATE.match(path):
                    for counted in self._events(kind, path):
                        self._one(counted, path)
        self._count.watching(self.path, self._tree)

    def close(self) -> None:
        if self._tree is not None:
            self._tree.close()

    def _events(self, kind: Kind, path: bytes) -> Iterator[Kind]:
        """What to count of a happening."""
        assert self._tree is not None
        if kind in (Kind.LISTED, Kind.MOVED_IN):
            self._see(path)
        elif kind is Kind.FOUND:
            yield Kind.CREATED
            self._ahead.add(Kind.CREATED, path)
            if isinstance(closed.glance(self._tree.root, path), os.stat_result):
                state, _ = closed.look(self._tree.root, path)
                if state is closed.State.CLOSED:
                    yield Kind.CLOSED
                    self._ahead.add(Kind.CLOSED, path)
        elif kind in _EVENTS and not self._ahead.take(kind, path):
            yield kind

    def _one(self, kind: Kind, path: bytes) -> None:
        label = self._count.label(path.rpartition(b"/")[2])
        if kind is Kind.CREATED:
            self._count.created.labels(label).inc()
        elif kind is Kind.DELETED:
            self._count.deleted.labels(label).inc()
        else:
            self._count.written.labels(label).inc()
            self._see(path)
        if self._log_events:
            # As a literal: whoever names files does not write our log.
            _LOG.info("%s %s %r", _EVENTS[kind], self.path, path)

    def _see(self, path: bytes) -> None:
        """Is it the newest?"""
        assert self._tree is not None
        status = closed.glance(self._tree.root, path)
        if isinstance(status, os.stat_result) and status.st_mtime_ns >= self._newest_ns:
            self._newest_ns = status.st_mtime_ns
            self._count.newest(self.path, status.st_size, status.st_mtime_ns / 1e9)
