"""What is told of directories that cannot be watched: counted each time, said once, with the limit to raise."""

from __future__ import annotations

import errno
import logging
import os
from dataclasses import dataclass

from node.watch import beneath

_LOG = logging.getLogger("watch")
_WATCHES = "/proc/sys/fs/inotify/max_user_watches"
_INSTANCES = "/proc/sys/fs/inotify/max_user_instances"
_SAID_LIMIT = 1000


@dataclass(slots=True)
class Counts:
    """What became of the watch, since the start."""

    overflows: int = 0
    listings: int = 0
    """Of the whole tree."""
    exhausted_watches: int = 0
    exhausted_descriptors: int = 0
    refused: int = 0
    """Directories that could not be opened or listed for another reason."""


class Trouble:
    """Of one tree, whose directories without a watch are listed every `relist_s` seconds."""

    def __init__(self, folder: bytes, relist_s: float) -> None:
        self.counts = Counts()
        self._folder = folder
        self._relist_s = relist_s
        self._said: set[str] = set()

    def overflow(self) -> None:
        """The kernel's queue was full."""
        self.counts.overflows += 1
        _LOG.warning("%s: the kernel dropped events; all is listed again", os.fsdecode(self._folder))

    def unwatched(self, path: bytes, error: OSError) -> None:
        """A directory cannot be opened, watched or listed now."""
        where = os.fsdecode(self._folder + b"/" + path)
        if error.errno == errno.ENOSPC:
            self.counts.exhausted_watches += 1
            self._say(
                f"{where}: no inotify watch is left; its files are found by listing every {self._relist_s:g} s;"
                f" raise {_WATCHES} ({_limit(_WATCHES)})",
                "watches",
            )
        elif error.errno in beneath.NO_DESCRIPTORS:
            self.counts.exhausted_descriptors += 1
            self._say(
                f"{where}: {error.strerror}; tried again every {self._relist_s:g} s; raise RLIMIT_NOFILE", "descriptors"
            )
        else:
            self.counts.refused += 1
            self._say(f"{where}: {error.strerror}; tried again every {self._relist_s:g} s", where)

    def _say(self, message: str, about: str) -> None:
        """Once, not for each of thousands of directories and attempts; the counters tell how often."""
        if about not in self._said:
            if len(self._said) < _SAID_LIMIT:
                self._said.add(about)
            _LOG.warning("%s", message)


def unusable(folder: bytes, error: OSError) -> str:
    """Why a whole tree cannot be watched, and what to do."""
    where = os.fsdecode(folder)
    if error.errno == errno.ENOSYS:
        return f"{where}: the kernel has no openat2; Linux 5.6 or newer is needed"
    if error.errno == errno.EMFILE:
        limit = f"{_INSTANCES} ({_limit(_INSTANCES)})"
        return f"{where}: no descriptor or inotify instance is left; raise RLIMIT_NOFILE or {limit}"
    return f"{where}: cannot be watched: {error.strerror}; give a folder that exists and can be read"


def _limit(path: str) -> str:
    try:
        with open(path) as file:  # noqa: PTH123
            return f"now {file.read().strip()}"
    except OSError:
        return "unreadable here"
