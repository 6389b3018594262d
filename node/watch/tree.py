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
import os
import time
from collections.abc import Generator, Iterator
from enum import Enum

from node.watch import beneath, inotify, reader, trouble
from node.watch.watches import Watches

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
        self._relist_s = relist_s
        self._trouble = trouble.Trouble(folder, relist_s)
        self.counts = self._trouble.counts
        self._swept = 0.0
        self._list_all = True
        try:
            self.root = _open(folder)
        except OSError as error:
            raise WatchError(trouble.unusable(folder, error)) from None
        try:
            os.close(beneath.open_directory(self.root, b""))
            self._reader = reader.Reader(bound_bytes)
        except OSError as error:
            os.close(self.root)
            raise WatchError(trouble.unusable(folder, error)) from None
        self._watches = Watches(self._reader.queue, _ALWAYS | (inotify.DELETE if deletions else 0))
        self._going = self._events()

    def fileno(self) -> int:
        """Readable when `happened` may have something, and once a second."""
        return self._reader.wake

    @property
    def watched(self) -> int:
        """Directories with a watch."""
        return len(self._watches.path_of)

    @property
    def unwatched(self) -> int:
        """Directories that are listed every few seconds instead."""
        return len(self._watches.due)

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
            for path in [path for path, due in self._watches.due.items() if due <= now]:
                # Listing one lists all below it, which are then due later.
                if self._watches.due.get(path, now + 1) <= now:
                    yield from self._enter(path, again=True)

    def _one(self, watch: int, mask: int, name: bytes) -> Iterator[Happening]:
        if mask & inotify.OVERFLOW:
            self._trouble.overflow()
            self._list_all = True
            return
        directory = self._watches.path_of.get(watch)
        if directory is None:
            return
        if mask & inotify.IGNORED:
            self._watches.forget(directory)
        if not name:
            return
        path = directory + b"/" + name if directory else name
        if mask & _DIRECTORY:
            if mask & (inotify.MOVED_FROM | inotify.DELETE):
                self._watches.leave(path)
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
        if not same or b"" not in self._watches:
            self._watches.leave(b"")
            self._watches.due[b""] = 0.0

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
            self._watches.leave(b"")
            os.dup2(opened, self.root, inheritable=False)
        finally:
            os.close(opened)

    def _watch(self, path: bytes, descriptor: int) -> bool:
        """Whether what happened here before is unknown: the watch is new, or there is none."""
        try:
            return self._watches.add(path, descriptor)
        except OSError as error:
            self._failed(path, error)
            return True

    def _failed(self, path: bytes, error: OSError) -> None:
        """A directory that cannot be opened, watched or listed now is listed later; one that is gone is forgotten."""
        if error.errno in _NOT_THERE and path:
            self._watches.due.pop(path, None)
            return
        self._watches.due[path] = time.monotonic() + self._relist_s
        self._trouble.unwatched(path, error)


def _open(folder: bytes) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
