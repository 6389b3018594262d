"""Which directories of a tree have a watch, under which number, and which have none and are listed now and then.

The kernel knows a directory by its number wherever it is moved; here it has one path at a time. Times are of the
monotonic clock.
"""

from __future__ import annotations

from node.watch import inotify


class Watches:
    """Of one queue, with one mask. Paths are bytes below the tree's folder, which itself is the empty path."""

    def __init__(self, queue: int, mask: int) -> None:
        self._queue = queue
        self._mask = mask
        self.path_of: dict[int, bytes] = {}
        """By the number of the watch."""
        self._numbers: dict[bytes, int] = {}
        self.due: dict[bytes, float] = {}
        """When each directory that has no watch is listed next."""

    def __contains__(self, path: bytes) -> bool:
        """Whether a directory is known, with or without a watch."""
        return path in self._numbers or path in self.due

    def add(self, path: bytes, descriptor: int) -> bool:
        """Watch the open directory that has this path; whether the watch is new. Raises `OSError`."""
        number = inotify.add(self._queue, descriptor, self._mask)
        self.due.pop(path, None)
        known = self.path_of.get(number)
        if known == path:
            return False
        if known is not None:
            self.leave(known, but=number)
        if path in self._numbers:
            self.leave(path)
        self.path_of[number] = path
        self._numbers[path] = number
        return True

    def forget(self, path: bytes) -> None:
        """The kernel has ended its watch."""
        number = self._numbers.pop(path, None)
        if number is not None:
            del self.path_of[number]

    def leave(self, path: bytes, but: int = -1) -> None:
        """Watch no longer what was moved away or deleted, nor anything below it; the kernel keeps the number `but`."""
        below = path + b"/" if path else b""
        for left in [known for known in self._numbers if known == path or known.startswith(below)]:
            if self._numbers[left] != but:
                inotify.remove(self._queue, self._numbers[left])
            self.forget(left)
        for left in [known for known in self.due if known == path or known.startswith(below)]:
            del self.due[left]
