"""Everything that happens to files below a folder, in directories of any depth, however quickly they appear.

A new directory is first watched, then listed: what was made in it before the watch is found by the listing, what comes
after by the watch, what falls between by both. Nothing is taken on trust that the kernel may have dropped: after an
overflow the whole tree is listed again, and a directory that cannot be watched or opened (watches or descriptors
exhausted, no permission) is listed every few seconds until it can. All work is done by the caller's thread in
`happened`, a generator that can be left at any event and goes on there.

Paths are bytes below the folder, which itself is the empty path. Whether a file is complete is decided elsewhere.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import Enum

from node.watch import beneath, inotify, reader

_LOG = logging.getLogger("watch")
_WATCHES = "/proc/sys/fs/inotify/max_user_watches"
_INSTANCES = "/proc/sys/fs/inotify/max_user_instances"
_DIRECTORY = inotify.IS_DIRECTORY
_ALWAYS = (
    inotify.CLOSE_WRITE
    | inotify.MOVED_TO
    | inotify.MOVED_FROM
    | inotify.CREATE
    | inotify.ONLY_DIRECTORIES
    | inotify.EXCLUDE_UNLINKED
)
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)


class WatchError(Exception):
    """A folder that cannot be watched at all."""


class Kind(Enum):
    """What happened to a file."""

    CREATED = "created"
    CLOSED = "closewrite"
    MOVED_IN = "movedto"
    MOVED_AWAY = "movedfrom"
    DELETED = "delete"
    FOUND = "found"
    """It was there when its new directory was listed, perhaps for longer than the watch. What happened to it since the
    watch is told, too, and later."""
    LISTED = "listed"
    """It was there when its directory was listed again."""


Happening = tuple[Kind, bytes]


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


class Tree:
    """One folder. `deletions` asks for `DELETED`, which who deletes the files need not hear."""

    def __init__(
        self,
        folder: bytes,
        *,
        deletions: bool = False,
        bound_bytes: int = reader.BOUND_BYTES,
        relist_s: float = 5.0,
    ) -> None:
        self.folder = folder
        self.counts = Counts()
        self._mask = _ALWAYS | (inotify.DELETE if deletions else 0)
        self._relist_s = relist_s
        self._paths: dict[int, bytes] = {}
        self._watches: dict[bytes, int] = {}
        self._unwatched: dict[bytes, float] = {}
        self._swept = 0.0
        self._list_all = True
        self._complained: set[str] = set()
        try:
            self.root = _open(folder)
        except OSError as error:
            raise WatchError(_unusable(folder, error)) from None
        try:
            os.close(beneath.open_directory(self.root, b""))
            self._reader = reader.Reader(bound_bytes)
        except OSError as error:
            os.close(self.root)
            raise WatchError(_unusable(folder, error)) from None
        self._going = self._events()

    def fileno(self) -> int:
        """Readable when `happened` may have something, and once a second."""
        return self._reader.wake

    @property
    def watched(self) -> int:
        """Directories with a watch."""
        return len(self._paths)

    @property
    def unwatched(self) -> int:
        """Directories that are listed every few seconds instead."""
        return len(self._unwatched)

    def relist(self) -> None:
        """List the whole tree again, at the next `happened`."""
        self._list_all = True
        self._reader.rouse()

    def happened(self) -> Generator[Happening, None, None]:
        """All that is known to have happened until now. May be left at any point; the next call goes on from there."""
        self._reader.calm()
        finished = False
        try:
            while (found := next(self._going, None)) is not None:
                yield found
            finished = True
        finally:
            if not finished:
                self._reader.rouse()
        self._going = self._events()

    def close(self) -> None:
        self._going.close()
        self._reader.close()
        os.close(self.root)

    def _events(self) -> Generator[Happening, None, None]:
        while True:
            if self._list_all:
                self._list_all = False
                self.counts.listings += 1
                yield from self._enter(b"", again=True)
            yield from self._sweep()
            buffer = self._reader.take()
            if buffer is None:
                break
            for watch, mask, name in inotify.decode(buffer):
                yield from self._one(watch, mask, name)

    def _sweep(self) -> Iterator[Happening]:
        """Once a second: is the folder still there, and what is due of the directories without a watch."""
        now = time.monotonic()
        if now - self._swept >= reader.TICK_S:
            self._swept = now
            self._look_at_root()
            for path in [path for path, due in self._unwatched.items() if due <= now]:
                # Listing one lists all below it, which are then due later.
                if self._unwatched.get(path, now + 1) <= now:
                    yield from self._enter(path, again=True)

    def _one(self, watch: int, mask: int, name: bytes) -> Iterator[Happening]:
        if mask & inotify.OVERFLOW:
            self.counts.overflows += 1
            _LOG.warning("%s: the kernel dropped events; all is listed again", os.fsdecode(self.folder))
            self._list_all = True
            return
        directory = self._paths.get(watch)
        if directory is None:
            return
        if mask & inotify.IGNORED:
            self._forget(directory)
        if not name:
            return
        path = directory + b"/" + name if directory else name
        if mask & _DIRECTORY:
            if mask & (inotify.MOVED_FROM | inotify.DELETE):
                self._leave(path)
            elif mask & (inotify.CREATE | inotify.MOVED_TO):
                yield from self._enter(path)
        elif mask & inotify.CLOSE_WRITE:
            yield Kind.CLOSED, path
        elif mask & inotify.CREATE:
            yield Kind.CREATED, path
        elif mask & inotify.MOVED_TO:
            yield Kind.MOVED_IN, path
        elif mask & inotify.MOVED_FROM:
            yield Kind.MOVED_AWAY, path
        elif mask & inotify.DELETE:
            yield Kind.DELETED, path

    def _enter(self, start: bytes, *, again: bool = False) -> Iterator[Happening]:
        """Watch, then list, a directory and all below it. One that is watched already is listed only if `again`."""
        kind = Kind.LISTED if again else Kind.FOUND
        waiting = [start]
        while waiting:
            path = waiting.pop()
            try:
                if not path:
                    self._return()
                descriptor = beneath.open_directory(self.root, path)
            except OSError as error:
                self._failed(path, error)
                continue
            try:
                if not self._watch(path, descriptor) and not again:
                    continue
                # The descriptor that is watched is the one that is listed, whatever has its name by now.
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        name = os.fsencode(entry.name)
                        below = path + b"/" + name if path else name
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(below)
                        else:
                            yield kind, below
            except OSError as error:
                self._failed(path, error)
            finally:
                os.close(descriptor)

    def _look_at_root(self) -> None:
        """Whoever moved the folder away, or deleted it, may make it again. inotify does not tell: it is held open."""
        try:
            same = self._is_root()
        except OSError:
            same = False
        if not same or (b"" not in self._watches and b"" not in self._unwatched):
            self._leave(b"")
            self._unwatched[b""] = 0.0

    def _is_root(self) -> bool:
        """Whether what has the folder's name is what was opened. Raises `OSError` if nothing has."""
        there = os.stat(self.folder)  # noqa: PTH116 - a Path is no bytes
        here = os.fstat(self.root)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def _return(self) -> None:
        """Open the folder anew where another one has its name by now: it was removed and made again."""
        if self._is_root():
            return
        opened = _open(self.folder)
        try:
            self._leave(b"")
            os.dup2(opened, self.root, inheritable=False)
        finally:
            os.close(opened)

    def _watch(self, path: bytes, descriptor: int) -> bool:
        """Whether what happened here before is unknown: the watch is new, or there is none."""
        try:
            watch = inotify.add(self._reader.queue, descriptor, self._mask)
        except OSError as error:
            self._failed(path, error)
            return True
        self._unwatched.pop(path, None)
        known = self._paths.get(watch)
        if known == path:
            return False
        if known is not None:
            self._leave(known, but=watch)
        former = self._watches.get(path)
        if former is not None:
            self._leave(path)
        self._paths[watch] = path
        self._watches[path] = watch
        return True

    def _failed(self, path: bytes, error: OSError) -> None:
        """A directory that cannot be opened, watched or listed now is listed later; one that is gone is forgotten."""
        if error.errno in _NOT_THERE and path:
            self._unwatched.pop(path, None)
            return
        self._postpone(path)
        where = os.fsdecode(self.folder + b"/" + path)
        if error.errno == errno.ENOSPC:
            self.counts.exhausted_watches += 1
            self._complain(
                f"{where}: no inotify watch is left; its files are found by listing every {self._relist_s:g} s;"
                f" raise {_WATCHES} ({_limit(_WATCHES)})",
                "watches",
            )
        elif error.errno in beneath.NO_DESCRIPTORS:
            self.counts.exhausted_descriptors += 1
            self._complain(
                f"{where}: {error.strerror}; tried again every {self._relist_s:g} s; raise RLIMIT_NOFILE", "descriptors"
            )
        else:
            self.counts.refused += 1
            self._complain(f"{where}: {error.strerror}; tried again every {self._relist_s:g} s", where)

    def _complain(self, message: str, about: str) -> None:
        """Once, not for each of thousands of directories and attempts; the counters tell how often."""
        if about not in self._complained:
            if len(self._complained) < 1000:
                self._complained.add(about)
            _LOG.warning("%s", message)

    def _postpone(self, path: bytes) -> None:
        self._unwatched[path] = time.monotonic() + self._relist_s

    def _forget(self, path: bytes) -> None:
        watch = self._watches.pop(path, None)
        if watch is not None:
            del self._paths[watch]

    def _leave(self, path: bytes, but: int = -1) -> None:
        """Watch no longer what was moved away or deleted, nor anything below it."""
        below = path + b"/" if path else b""
        for left in [known for known in self._watches if known == path or known.startswith(below)]:
            if self._watches[left] != but:
                inotify.remove(self._reader.queue, self._watches[left])
            self._forget(left)
        for left in [known for known in self._unwatched if known == path or known.startswith(below)]:
            del self._unwatched[left]


def _open(folder: bytes) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _limit(path: str) -> str:
    try:
        with open(path) as file:  # noqa: PTH123
            return f"now {file.read().strip()}"
    except OSError:
        return "unreadable here"


def _unusable(folder: bytes, error: OSError) -> str:
    where = os.fsdecode(folder)
    if error.errno == errno.ENOSYS:
        return f"{where}: the kernel has no openat2; Linux 5.6 or newer is needed"
    if error.errno == errno.EMFILE:
        limit = f"{_INSTANCES} ({_limit(_INSTANCES)})"
        return f"{where}: no descriptor or inotify instance is left; raise RLIMIT_NOFILE or {limit}"
    return f"{where}: cannot be watched: {error.strerror}; give a folder that exists and can be read"
