"""Which sockets of a dump have changed since the dump before: the inner loop of the program.

A socket has changed if its state, its attributes, or tcp_info have, except what merely tells time or load: bytes
44 to 59 of tcp_info (times since the last packets), all from 168 on, and the header's timers and queues. One `Struct`
for each length of message takes the rest apart, so that a socket is compared with what is known of it in one
comparison of tuples, and a buffer of equal messages is walked in C.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from node.tcpinfo import netlink

_QUIET = slice(44, 60)
_LOUD_END = 168

Fingerprint = tuple[Any, ...]
"""State, cookie, then all else that counts as a change."""
Change = tuple[int, bytes]
"""Cookie and whole message."""


class _Layout:
    """How messages of one length are taken apart: where tcp_info stands, and the header before it as a check."""

    __slots__ = ("check", "parts", "position")

    def __init__(self, length: int, position: int, size: int) -> None:
        self.position = position
        before = position - 4 - netlink.BODY
        head = f"=17xB42xQ20x{before}s"
        if size:
            first, middle = min(size, _QUIET.start), max(0, min(size, _LOUD_END) - _QUIET.stop)
            skipped = min(size, _QUIET.stop) - first
            left = length - position - size
            inside = f"4s{first}s{skipped}x{middle}s{size - first - skipped - middle}x{left}s"
            self.check = netlink.ATTRIBUTE.pack(size + 4, netlink.INFO)
        else:
            inside, self.check = "", b""
        self.parts = struct.Struct(head + inside)


PATIENCE_S = 1.0
"""The kernel tells of ends from a queue of work of its own: later than dumps show them, where a machine is busy."""


class Changes:
    """What is known of the sockets of one family."""

    def __init__(self) -> None:
        self._known: dict[int, Fingerprint] = {}
        self._layouts: dict[int, _Layout] = {}
        self._missing: dict[int, float] = {}
        self._dump: list[list[Fingerprint]] = []
        self._stride = 0
        self._places: list[tuple[int, int]] = []
        self.count = 0
        self.error: netlink.DiagError | None = None

    def of(self, buffers: Iterable[bytes]) -> list[Change]:
        """Changed and new sockets of a dump. If it was cut short, `error` says why; what came before counts."""
        changed: list[Change] = []
        known, self._dump, self.count, self.error = self._known, [], 0, None
        try:
            for data in buffers:
                if not data:
                    continue
                tuples = self._tuples(data)
                self._dump.append(tuples)
                self.count += len(tuples)
                for place, parts in enumerate(tuples):
                    cookie = parts[1]
                    if known.get(cookie) != parts:
                        known[cookie] = parts
                        changed.append((cookie, self._message(data, place)))
        except netlink.DiagError as error:
            self.error = error
        return changed

    def _tuples(self, data: bytes) -> list[Fingerprint]:
        length = netlink.uniform(data)
        if length:
            self._stride = length
            layout = self._layouts.get(length) or self._learn(data[:length])
            if layout.check:
                begin = layout.position - 4
                many = len(data) // length
                for place in range(4):
                    if data[begin + place :: length].count(layout.check[place]) != many:
                        break
                else:
                    return list(layout.parts.iter_unpack(data))
        self._stride = 0
        self._places = list(netlink.messages(data))
        return [self._apart(data[offset : offset + size]) for offset, size in self._places]

    def _apart(self, message: bytes) -> Fingerprint:
        layout = self._layouts.get(len(message))
        if layout is None or message[layout.position - 4 : layout.position] != layout.check or not layout.check:
            layout = self._learn(message)
        return layout.parts.unpack(message)

    def _learn(self, message: bytes) -> _Layout:
        position = size = 0
        try:
            for kind, begin, end in netlink.attributes(message):
                if kind == netlink.INFO:
                    position, size = begin, end - begin
        except ValueError:
            position = size = 0
        if not size:
            position = len(message) + 4
        made = self._layouts[len(message)] = _Layout(len(message), position, size)
        return made

    def _message(self, data: bytes, place: int) -> bytes:
        if self._stride:
            return data[place * self._stride : (place + 1) * self._stride]
        offset, size = self._places[place]
        return data[offset : offset + size]

    def gone(self, now_s: float) -> list[int]:
        """Sockets that each whole dump lacks since `PATIENCE_S` or longer, two at least; they are forgotten now.

        `now_s` is of a clock that is never set.
        """
        if self.count == len(self._known):
            self._missing = {}
            return []
        missing = {cookie: self._missing.get(cookie, now_s) for cookie in self._absent()}
        gone = [cookie for cookie, since in missing.items() if since <= now_s - PATIENCE_S]
        for cookie in gone:
            del missing[cookie], self._known[cookie]
        self._missing = missing
        return gone

    @property
    def missing(self) -> bool:
        """Whether the last dump lacks a socket whose end the kernel has not told."""
        return bool(self._absent())

    def forget(self, cookie: int) -> None:
        """The kernel said that this socket has ended."""
        self._known.pop(cookie, None)
        self._missing.pop(cookie, None)

    def _absent(self) -> set[int]:
        return self._known.keys() - {parts[1] for tuples in self._dump for parts in tuples}

    def __len__(self) -> int:
        return len(self._known)
