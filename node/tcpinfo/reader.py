"""Reads files of connections back: ours, and those of the public archive.

    for snapshot in reader.snapshots(path):
        print(snapshot.time, snapshot.source, snapshot.tcp_info["BytesAcked"])

A snapshot with state CLOSE (7) is the kernel's last word on the connection: its counters are exact, and it has few
attributes. `last_established` is what tables call the final snapshot.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from node.tcpinfo import fields

ESTABLISHED, CLOSED = 1, 7
_MESSAGE = struct.Struct("=BBBB")
_ENDS = struct.Struct("!HH16s16s")
_TAIL = struct.Struct("=IQIIIII")
MESSAGE_BYTES = 72


class FormatError(Exception):
    """A file that is none: which, which line, what."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The first line."""

    uuid: str
    sequence: int
    start_time: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot; `attributes` are raw, by number."""

    time: str
    header: bytes
    attributes: dict[int, bytes]

    @property
    def message(self) -> dict[str, int]:
        """The header's numbers: `Family State Timer Retrans`, `SPort DPort Interface Cookie`, `Expires` and so on."""
        family, state, timer, retransmits = _MESSAGE.unpack_from(self.header)
        source_port, destination_port, _, _ = _ENDS.unpack_from(self.header, 4)
        interface, cookie, expires, receive, send, owner, inode = _TAIL.unpack_from(self.header, 40)
        names = (*fields.MESSAGE, "SPort", "DPort", "Interface", "Cookie", *fields.MESSAGE_END)
        values = (family, state, timer, retransmits, source_port, destination_port, interface, cookie)
        return dict(zip(names, (*values, expires, receive, send, owner, inode), strict=True))

    @property
    def source(self) -> str:
        return self._address(8)

    @property
    def destination(self) -> str:
        return self._address(24)

    def _address(self, begin: int) -> str:
        if self.header[0] == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, self.header[begin : begin + 4])
        return socket.inet_ntop(socket.AF_INET6, self.header[begin : begin + 16])

    @property
    def state(self) -> int:
        return self.header[1]

    @property
    def tcp_info(self) -> dict[str, int]:
        """tcp_info by the names of the tables; what an older kernel does not send is 0. Empty without any."""
        return fields.tcp_info(self.attributes.get(fields.INFO, b""))

    @property
    def memory(self) -> dict[str, int]:
        return fields.numbers(fields.MEMORY, self.attributes.get(fields.MEMINFO, b""))

    @property
    def socket_memory(self) -> dict[str, int]:
        return fields.numbers(fields.SOCKET_MEMORY, self.attributes.get(fields.SKMEMINFO, b""))

    @property
    def congestion_control(self) -> str:
        return self.attributes.get(fields.CONG, b"").partition(b"\0")[0].decode(errors="replace")


def lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, compressed or not, also of several frames. Raises `FormatError` where it breaks off."""
    with path.open("rb") as file:
        if path.suffix != ".zst":
            yield from file
            return
        try:
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as plain:
                yield from io.BufferedReader(plain)
        except zstandard.ZstdError as error:
            raise FormatError(f"{path}: broken compression: {error}") from None


def read(path: Path) -> tuple[Metadata, Iterator[Snapshot]]:
    """Who the connection is, and its snapshots."""
    rest = lines(path)
    try:
        found = json.loads(next(rest))["Metadata"]
        metadata = Metadata(found["UUID"], found["Sequence"], found["StartTime"])
    except (StopIteration, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}:1: no metadata: {error!r}") from None
    return metadata, _snapshots(path, rest)


def snapshots(path: Path) -> Iterator[Snapshot]:
    """The snapshots alone."""
    return read(path)[1]


def _snapshots(path: Path, rest: Iterator[bytes]) -> Iterator[Snapshot]:
    for number, line in enumerate(rest, 2):
        try:
            value: Any = json.loads(line)
            header = base64.b64decode(value["RawIDM"], validate=True)
            if len(header) < MESSAGE_BYTES:
                raise ValueError(f"RawIDM has {len(header)} bytes, not {MESSAGE_BYTES}")
            found = {
                kind: base64.b64decode(payload, validate=True)
                for kind, payload in enumerate(value["Attributes"] or ())
                if payload is not None
            }
            yield Snapshot(value["Timestamp"], header, found)
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise FormatError(f"{path}:{number}: no snapshot: {error}") from None


def last_established(of: Iterator[Snapshot]) -> Snapshot | None:
    """The last snapshot in state ESTABLISHED."""
    found = None
    for snapshot in of:
        if snapshot.state == ESTABLISHED:
            found = snapshot
    return found
