"""Reading a file that somebody may still change: either exactly what it was when it was opened, or `Changed`."""

from __future__ import annotations

import os
from collections.abc import Iterator

PIECE_BYTES = 1 << 20
"""Files up to this size are read at once, larger ones in such pieces."""


class Changed(Exception):
    """The file is no longer what it was when it was opened; try again later."""


class Bad(Exception):
    """The file's content is none of its datatype's, and never will be."""


class TooLarge(Exception):
    """No bundle may become so large."""


def whole(descriptor: int, status: os.stat_result) -> bytes:
    """All bytes of a file. Raises `Changed` and `OSError`."""
    data = os.read(descriptor, status.st_size + 1)
    if len(data) != status.st_size:
        data = _rest(descriptor, data, status.st_size)
    _same(descriptor, status)
    return data


def _rest(descriptor: int, data: bytes, size: int) -> bytes:
    while len(data) < size and (piece := os.read(descriptor, size + 1 - len(data))):
        data += piece
    if len(data) != size:
        raise Changed(f"has {len(data)} bytes, had {size}")
    return data


def pieces(descriptor: int, status: os.stat_result) -> Iterator[bytes]:
    """All bytes of a large file, piece by piece. Raises `Changed` at its end, too: what was done has to be undone."""
    left = status.st_size
    while left:
        piece = os.read(descriptor, min(PIECE_BYTES, left))
        if not piece:
            raise Changed(f"lacks the last {left} of its {status.st_size} bytes")
        left -= len(piece)
        yield piece
    _same(descriptor, status)


def _same(descriptor: int, status: os.stat_result) -> None:
    now = os.fstat(descriptor)
    if now.st_size != status.st_size or now.st_mtime_ns != status.st_mtime_ns:
        raise Changed(f"changed while it was read: {status.st_size} bytes, now {now.st_size}")
