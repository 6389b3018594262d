"""Reads DNS messages (RFC 1035, 4.1) into names and values, at a tenth of the cost of one object a record.

A zone of 28,709 records arrives in some 130 messages. Addresses, which nearly all of them are, are read here; values
of all other types are left to the library. Signatures of messages are checked by whoever receives them.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from reconcilers.core.errors import Temporary

A, NS, TXT, AAAA, TSIG = 1, 2, 16, 28, 250
MADE_BY_SERVERS = frozenset({46, 47, 48, 50, 51, 59, 60, 65534})
"""Types of DNSSEC that a signing server makes by itself: they are nobody's to plan, and slow to read."""
AUTHORITATIVE, TRUNCATED = 0x0400, 0x0200

_PLAIN = re.compile(rb"[A-Za-z0-9_*-]+")
_PLAIN_TEXT = re.compile(rb"[ !#-\[\]-~]*")
"""Printable ASCII but the quote and the backslash."""
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")

Record = tuple[str, str, int, str]
"""Name, type, time to live in seconds, value."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `signature` is where its TSIG record starts, None if it has none."""

    id: int
    flags: int
    answer: Sequence[Record]
    authority: Sequence[Record]
    signature: int | None

    @property
    def rcode(self) -> int:
        """The response code of the header."""
        return self.flags & 15


def question(number: int, name: str, kind: str) -> bytes:
    """A query that asks for no recursion."""
    head = _HEADER.pack(number, 0, 1, 0, 0, 0)
    return (
        head
        + (dns.name.from_text(name).to_wire() or b"")
        + struct.pack("!HH", dns.rdatatype.from_text(kind), dns.rdataclass.IN)
    )


def parse(wire: bytes) -> Message:
    """Read a message. Raises `Temporary` for one that is cut or mangled."""
    try:
        return _Reader(wire).message()
    except (IndexError, struct.error, ValueError, OSError, dns.exception.DNSException) as error:
        raise Temporary(f"a DNS message of {len(wire)} bytes cannot be read: {error}") from None


class _Reader:
    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self._known: dict[int, str] = {}

    def message(self) -> Message:
        number, flags, questions, answers, authorities, others = _HEADER.unpack_from(self._wire, 0)
        at = _HEADER.size
        for _ in range(questions):
            at = self._name(at)[1] + 4
        answer, at = self._section(at, answers)
        authority, at = self._section(at, authorities)
        signature = None
        for _ in range(others):
            start, at = at, self._name(at)[1]
            kind, _, _, length = _RECORD.unpack_from(self._wire, at)
            at += _RECORD.size + length
            if kind == TSIG:
                signature = start
        if at != len(self._wire):
            raise ValueError(f"{len(self._wire) - at} bytes too many")
        return Message(number, flags, answer, authority, signature)

    def _section(self, at: int, count: int) -> tuple[list[Record], int]:
        wire, unpack, size = self._wire, _RECORD.unpack_from, _RECORD.size
        found: list[Record] = []
        for _ in range(count):
            name, at = self._name(at)
            kind, _, ttl_s, length = unpack(wire, at)
            at += size
            end = at + length
            if end > len(wire):
                raise ValueError("a record is cut")
            if kind == A:
                found.append((name, "A", ttl_s, socket.inet_ntop(socket.AF_INET, wire[at:end])))
            elif kind == AAAA:
                found.append((name, "AAAA", ttl_s, socket.inet_ntop(socket.AF_INET6, wire[at:end])))
            elif kind == TXT and (text := _plain_text(wire, at, end)) is not None:
                found.append((name, "TXT", ttl_s, text))
            elif kind not in MADE_BY_SERVERS:
                rdata = dns.rdata.from_wire(dns.rdataclass.IN, kind, wire, at, length)
                found.append((name, dns.rdatatype.to_text(dns.rdatatype.RdataType.make(kind)), ttl_s, rdata.to_text()))
            at = end
        return found, at

    def _name(self, at: int, start: int | None = None) -> tuple[str, int]:
        """The name at an offset, in lower case without the last dot, and where what follows it starts.

        `start` is where the name began of which this is a part: one may point to what stands before it only, so that
        no name goes in circles.
        """
        wire = self._wire
        start = at if start is None else start
        length = wire[at]
        if length == 0:
            return "", at + 1
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | wire[at + 1]
            known = self._known.get(target)
            if known is None:
                if target >= start:
                    raise ValueError("a name points to itself or forward")
                known = self._name(target)[0]
            return known, at + 2
        if length > 63:
            raise ValueError("a label is longer than 63 bytes")
        label = wire[at + 1 : at + 1 + length]
        if _PLAIN.fullmatch(label):
            shown = label.decode("ascii").lower()
        else:
            shown = dns.name.Name((label,)).to_text().lower()
        rest, end = self._name(at + 1 + length, start)
        name = f"{shown}.{rest}" if rest else shown
        self._known[at] = name
        return name, end


def _plain_text(wire: bytes, at: int, end: int) -> str | None:
    """The strings of a TXT record, quoted; None if they need an escape."""
    parts = []
    while at < end:
        start, at = at + 1, at + 1 + wire[at]
        part = wire[start:at]
        if at > end or _PLAIN_TEXT.fullmatch(part) is None:
            return None
        parts.append(f'"{part.decode("ascii")}"')
    return " ".join(parts)
