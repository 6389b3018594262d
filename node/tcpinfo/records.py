"""The lines of a connection's file, as the public archive has them.

Joined by hand, five times as fast as a JSON library. The first line names the connection, with a zero time; each other
line is one snapshot: the header of the kernel's message and the payload of each attribute by its number, in base64,
`null` where absent. All else (fields, units) is left to readers, so that nothing of what the kernel said is lost.
"""

from __future__ import annotations

import struct
import time
from binascii import b2a_base64
from functools import lru_cache

from node.tcpinfo import netlink

_HIGHEST = 64
"""Attributes beyond are not written: no kernel has them, and a line must stay short."""


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def timestamp(ns: int) -> str:
    """RFC 3339 in UTC, nanoseconds without trailing zeros."""
    seconds, fraction = divmod(ns, 1_000_000_000)
    if not fraction:
        return f"{_second(seconds)}Z"
    return f"{_second(seconds)}.{fraction:09d}".rstrip("0") + "Z"


def head(uuid: str, sequence: int, start_ns: int) -> bytes:
    """The first line."""
    named = f'{{"UUID":"{uuid}","Sequence":{sequence},"StartTime":"{timestamp(start_ns)}"}}'
    return f'{{"Timestamp":"0001-01-01T00:00:00Z","Metadata":{named}}}\n'.encode()


class _Layout:
    """How messages with the same attributes are taken apart at once, and where in a line each goes."""

    __slots__ = ("headers", "info", "order", "parts")

    def __init__(self, found: list[tuple[int, int, int]], message: bytes) -> None:
        self.headers = tuple(message[begin - 4 : begin] for _, begin, _ in found)
        pieces = [f"={netlink.BODY}x"]
        place = netlink.BODY
        for _, begin, end in found:
            pieces.append(f"{begin - 4 - place}x4s{end - begin}s")
            place = end
        self.parts = struct.Struct("".join([*pieces, f"{len(message) - place}x"]))
        by_kind = {kind: 2 * place + 1 for place, (kind, _, _) in enumerate(found) if kind <= _HIGHEST}
        self.order = tuple(by_kind.get(kind, -1) for kind in range(max(by_kind, default=-1) + 1))
        self.info = by_kind.get(netlink.INFO, -1)


class Writer:
    """Makes lines of snapshots. What it learned of one message's layout serves the next of the same length."""

    def __init__(self) -> None:
        self._layouts: dict[int, _Layout] = {}
        self._time = (-1, b"")

    def snapshot(self, ns: int, header: bytes, message: bytes) -> tuple[bytes, bytes]:
        """One line, and tcp_info (empty without any).

        `header` are the 72 bytes to write, perhaps anonymised; attributes are those of the message. Of a message that
        breaks off, the attributes before the break are written.
        """
        if self._time[0] != ns:
            self._time = (ns, timestamp(ns).encode())
        layout = self._layouts.get(len(message))
        parts = layout.parts.unpack(message) if layout is not None else ()
        if layout is None or parts[::2] != layout.headers:
            layout = self._layouts[len(message)] = _Layout(_attributes(message), message)
            parts = layout.parts.unpack(message)
        payloads = [b'"%s"' % b2a_base64(parts[n], newline=False) if n >= 0 else b"null" for n in layout.order]
        line = b'{"Timestamp":"%s","RawIDM":"%s","Attributes":[%s]}\n' % (
            self._time[1],
            b2a_base64(header, newline=False),
            b",".join(payloads),
        )
        return line, parts[layout.info] if layout.info >= 0 else b""


def _attributes(message: bytes) -> list[tuple[int, int, int]]:
    found = []
    try:
        for attribute in netlink.attributes(message):
            found.append(attribute)
    except ValueError:
        pass
    return found
