"""inotify(7) as it is: watches by number, events as the kernel packs them, names as bytes."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator

CLOSE_WRITE, MOVED_FROM, MOVED_TO = 0x8, 0x40, 0x80
CREATE, DELETE = 0x100, 0x200
OVERFLOW, IGNORED = 0x4000, 0x8000
ONLY_DIRECTORIES, EXCLUDE_UNLINKED, IS_DIRECTORY = 0x01000000, 0x04000000, 0x40000000

_HEADER = struct.Struct("=iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)

Event = tuple[int, int, bytes]
"""Number of the watch, mask, name in the watched directory."""


def open_queue() -> int:
    """A descriptor for watches and their events; reads do not block. Raises `OSError`."""
    return _checked(_LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))


def add(queue: int, directory: int, mask: int) -> int:
    """Watch the directory that is open as `directory`; the number of the watch, the same one for the same directory.

    By the descriptor and not by a path, so that what is watched is what was opened.
    """
    return _checked(_LIBC.inotify_add_watch(queue, b"/proc/self/fd/%d" % directory, mask))


def remove(queue: int, watch: int) -> None:
    """End a watch; one that ended by itself is no error."""
    _LIBC.inotify_rm_watch(queue, watch)


def decode(buffer: bytes) -> Iterator[Event]:
    """What one read gave: whole events, in order."""
    at, end = 0, len(buffer)
    unpack = _HEADER.unpack_from
    while at < end:
        watch, mask, _, length = unpack(buffer, at)
        name = buffer[at + 16 : at + 16 + length].rstrip(b"\0") if length else b""
        at += 16 + length
        yield watch, mask, name


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
