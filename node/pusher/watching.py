"""From the watcher of folders, which all programs of a node share, to the inbox of a datatype.

The watcher keeps what the kernel tells in a bounded memory and lists again what was lost; so this thread may wait
whenever the inbox has no room.
"""

from __future__ import annotations

import os
import select
import threading
from collections import Counter
from contextlib import closing

from node.pusher.lane import Lane
from node.pusher.meters import Meters
from node.watch.tree import Kind, Tree

_EVENTS = (Kind.CLOSED, Kind.MOVED_IN)
_BATCH = 1000
_ROOM_S = 0.2
PROBLEMS = ("overflows", "exhausted_watches", "exhausted_descriptors", "refused")


class Watch:
    """Offers every file that is closed, moved in, or there already. Raises `WatchError`."""

    def __init__(self, lane: Lane, count: Meters) -> None:
        self._lane = lane
        self._count = count
        self._tree = Tree(os.fsencode(lane.of.root))
        self._stopping = threading.Event()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._told: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"watch-{lane.of.name}")

    def start(self) -> None:
        """Begin to offer."""
        self._thread.start()

    def _run(self) -> None:
        ready = select.poll()
        ready.register(self._tree.fileno(), select.POLLIN)
        ready.register(self._stop, select.POLLIN)
        while not self._stopping.is_set():
            ready.poll()
            self._pass_on()
            self._report()

    def _pass_on(self) -> None:
        """All that happened until now, in batches of one kind."""
        seen: dict[Kind, list[str]] = {kind: [] for kind in (*_EVENTS, Kind.FOUND, Kind.LISTED)}
        with closing(self._tree.happened()) as happenings:
            for kind, path in happenings:
                names = seen.get(kind)
                if names is not None:
                    names.append(os.fsdecode(path))
                    if len(names) >= _BATCH:
                        self._offer(kind, names)
                        names.clear()
                if self._stopping.is_set():
                    return
        for kind, names in seen.items():
            self._offer(kind, names)

    def _offer(self, kind: Kind, names: list[str]) -> None:
        if names and kind in _EVENTS:
            self._count.events.labels(kind.value).inc(len(names))
        while not self._lane.offer(names, closed=kind in _EVENTS):
            if self._stopping.wait(_ROOM_S):
                return  # the search at the end finds them

    def _report(self) -> None:
        now = Counter({name: getattr(self._tree.counts, name) for name in PROBLEMS})
        for name, many in (now - self._told).items():
            self._count.watch_problems.labels(self._lane.of.name, name).inc(many)
        self._told = now

    def stop(self) -> None:
        """No more offers."""
        self._stopping.set()
        os.eventfd_write(self._stop, 1)
        if self._thread.is_alive():
            self._thread.join()
        self._tree.close()
        os.close(self._stop)
