"""Searching the spool for old files that no event told of, every hour or so, and for all files at the end.

Folders that are empty for more than a day go, so that watches and searches do not grow with the years.
"""

from __future__ import annotations

import heapq
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from node.pusher import faults
from node.pusher.lane import Lane
from node.pusher.meters import Meters
from node.pusher.settings import Datatype
from node.pusher.timers import Wait
from node.watch import beneath

_LOG = logging.getLogger("pusher")
EMPTY_S = 25 * 3600.0
_BATCH = 1000
_ROOM_S = 0.2


def search(of: Datatype, older_than_s: float) -> list[tuple[int, int, str]]:
    """Time (ns), size and name of every file that was not written to for so long, oldest first; folders that are empty
    for long are removed. Raises `OSError` where no descriptor is left to look into a folder."""
    now = time.time()
    found: list[tuple[int, int, str]] = []
    root = os.fspath(of.root)
    for path, folders, files, descriptor in os.fwalk(root, topdown=False, onerror=_unopened, follow_symlinks=False):
        above = path[len(root) + 1 :]
        for base in files:
            with suppress(OSError):
                status = os.stat(base, dir_fd=descriptor, follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode) and now - status.st_mtime >= older_than_s:
                    found.append((status.st_mtime_ns, status.st_size, f"{above}/{base}" if above else base))
        for base in folders:
            if base != of.name:
                with suppress(OSError):
                    _remove_empty(base, descriptor, now)
    found.sort()
    return found


def _unopened(error: OSError) -> None:
    """A folder that is gone or forbidden has nothing for us; one that could not be looked into may have."""
    if error.errno in beneath.NO_DESCRIPTORS:
        raise error


def _remove_empty(base: str, above: int, now: float) -> None:
    status = os.stat(base, dir_fd=above, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode) and now - status.st_mtime >= EMPTY_S and status.st_nlink <= 2:
        faults.point("directory-before-rmdir")
        os.rmdir(base, dir_fd=above)  # refused if it is not empty
        faults.point("directory-after-rmdir")


class Finder:
    """One thread for all datatypes."""

    def __init__(self, lanes: Sequence[Lane], every: Wait, count: Meters) -> None:
        self._lanes = {lane.of.name: lane for lane in lanes}
        self._every = every
        self._count = count
        self._due = [(0.0, name) for name in self._lanes]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="finder")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def last(self, deadline: float) -> None:
        """All files that are left, for the last upload."""

        def patient() -> bool:
            time.sleep(_ROOM_S)
            return time.monotonic() < deadline

        for name in self._lanes:
            while True:
                try:
                    self.once(name, all_files=True, patient=patient)
                    break
                except OSError as error:
                    # Descriptors come back as bundles get done.
                    if error.errno not in beneath.NO_DESCRIPTORS or not patient():
                        _LOG.error("%s: the last search ended early: %s", name, error)
                        break

    def once(self, name: str, *, all_files: bool, patient: Callable[[], bool]) -> None:
        """One search of a datatype. `patient` waits a moment for the lane to have room; False: no longer."""
        lane = self._lanes[name]
        found = search(lane.of, 0.0 if all_files else lane.of.max_file_age_s)
        self._count.finder_runs.inc()
        self._count.finder_files.inc(len(found))
        self._count.finder_bytes.inc(sum(size for _, size, _ in found))
        self._count.finder_oldest.labels(name).set(found[0][0] / 1e9 if found else time.time())
        for place in range(0, len(found), _BATCH):
            batch = [each for _, _, each in found[place : place + _BATCH]]
            while not lane.offer(batch, closed=False):
                if not patient():
                    return

    def _run(self) -> None:
        while not self._stopping.wait(max(0.0, self._due[0][0] - time.monotonic())):
            _, name = heapq.heappop(self._due)
            try:
                self.once(name, all_files=False, patient=lambda: not self._stopping.wait(_ROOM_S))
            except OSError as error:
                _LOG.error("%s: the search ended early: %s", name, error)
            heapq.heappush(self._due, (time.monotonic() + self._every.draw(), name))
