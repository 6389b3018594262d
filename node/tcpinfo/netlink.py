"""The kernel's socket diagnosis (sock_diag) as bytes: requests, dumps, the multicast of destroyed sockets.

Layouts are those of linux/netlink.h and linux/inet_diag.h, in the byte order of the host. A message is what the kernel
sent, header and all: 16 bytes of nlmsghdr, 72 of inet_diag_msg, then attributes. Nothing here knows what a connection
is. Nothing needs a privilege.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator

HEADER = 16
MESSAGE = 72
BODY = HEADER + MESSAGE
"""Where attributes begin."""
STATE = HEADER + 1
SOCKET_ID, COOKIE = HEADER + 4, HEADER + 44
"""Offsets of the 48 bytes of addresses and ports, and in them the cookie."""

BY_FAMILY, NETLINK_ERROR, NETLINK_DONE = 20, 2, 3
FLAG_INTERRUPTED = 0x10
INFO = 2
"""The attribute that holds tcp_info."""
STATES = 0xF37
"""All but SYN_RECV, TIME_WAIT and CLOSE."""
FIN_WAIT2 = 5
EXTENSIONS = 0xFF
DESTROYED_GROUPS = 1 << 0 | 1 << 2
"""SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY."""

HEAD = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
RECEIVE_BYTES = 1 << 16
ANSWER_TIMEOUT_S = 1.0
DESTROYED_BUFFER_BYTES = 8 << 20
_SO_RCVBUFFORCE = 33
_BATCH = 256
_SLOT_BYTES = 1024
"""A message of a destroyed socket has some 400 bytes."""


class DiagError(Exception):
    """A dump that was abandoned; `kind` is its label in the metrics."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


def request(family: int, sequence: int) -> bytes:
    """Ask for every TCP socket of a family, with all extensions."""
    head = HEAD.pack(HEADER + 56, BY_FAMILY, 0x301, sequence, 0)
    return head + struct.pack("=BBBxI", family, socket.IPPROTO_TCP, EXTENSIONS, STATES) + bytes(48)


class Dumps:
    """One socket that asks again and again for the sockets of one family."""

    def __init__(self, family: int) -> None:
        self._family = family
        self._sequence = 0
        self._socket = self._opened()
        self.interrupted = False

    def _opened(self) -> socket.socket:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 4)
        made.bind((0, 0))
        made.settimeout(ANSWER_TIMEOUT_S)
        self._port = made.getsockname()[0]
        return made

    def buffers(self) -> Iterator[bytes]:
        """What the kernel answers, buffer by buffer, up to its end. `interrupted`: sockets may be missing.

        After a `DiagError` the rest of that answer is gone with its socket; the next dump has a new one.
        """
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        self.interrupted = False
        finished = False
        try:
            self._socket.send(request(self._family, self._sequence))
            while not finished:
                data = self._socket.recv(RECEIVE_BYTES)
                end, finished, interrupted = checked(data, self._sequence, self._port)
                self.interrupted = self.interrupted or interrupted
                yield data[:end] if end != len(data) else data
        except OSError as error:
            raise DiagError("NLMSG_ERROR", f"no answer: {error}") from None
        finally:
            if not finished:
                self._socket.close()
                self._socket = self._opened()

    def close(self) -> None:
        self._socket.close()


def checked(data: bytes, sequence: int, port: int) -> tuple[int, bool, bool]:
    """Where the socket messages of a buffer end, whether it was the last, whether the dump was interrupted.

    Raises `DiagError` for what does not answer this request, an error, or a length that is none.
    """
    stride = uniform(data)
    if stride and data[4:6] == b"\x14\x00" and not data[6] & FLAG_INTERRUPTED:
        _answers(HEAD.unpack_from(data), sequence, port)
        return len(data), False, False
    offset, interrupted = 0, False
    while offset < len(data):
        if len(data) - offset < HEADER:
            raise DiagError("NLMSG_ERROR", f"{len(data) - offset} bytes are no message")
        head = HEAD.unpack_from(data, offset)
        length, kind, flags = head[:3]
        if not HEADER <= length <= len(data) - offset:
            raise DiagError("NLMSG_ERROR", f"a message of {length} bytes where {len(data) - offset} are")
        _answers(head, sequence, port)
        interrupted = interrupted or bool(flags & FLAG_INTERRUPTED)
        if kind == NETLINK_DONE:
            return offset, True, interrupted
        if kind == NETLINK_ERROR:
            code = struct.unpack_from("=i", data, offset + HEADER)[0] if length >= HEADER + 4 else -errno.EBADMSG
            if code == 0:
                return offset, True, interrupted
            raise DiagError("NLMSG_ERROR", f"the kernel says {errno.errorcode.get(-code, code)}")
        if kind != BY_FAMILY or length < BODY:
            raise DiagError("NLMSG_ERROR", f"a message of type {kind} with {length} bytes")
        offset += length + 3 & ~3 if kind == BY_FAMILY else length
    return len(data), False, interrupted


def _answers(head: tuple[int, ...], sequence: int, port: int) -> None:
    if head[3] != sequence:
        raise DiagError("wrong seq num", f"{head[3]}, not {sequence}")
    if head[4] != port:
        raise DiagError("wrong pid", f"{head[4]}, not {port}")


def uniform(data: bytes) -> int:
    """The length of each message if all have the same header, else 0: found with one look at each byte of it.

    The first message says where the second begins, and so on: if the headers at those places are the same bytes, they
    are the headers.
    """
    if len(data) < BODY:
        return 0
    (length,) = struct.unpack_from("=I", data)
    if length < BODY or length & 3 or len(data) % length:
        return 0
    many = len(data) // length
    for place in range(HEADER):
        if data[place::length].count(data[place]) != many:
            return 0
    return int(length)


def messages(data: bytes) -> Iterator[tuple[int, int]]:
    """Offset and length of each message of a checked buffer."""
    offset = 0
    while offset < len(data):
        (length,) = struct.unpack_from("=I", data, offset)
        yield offset, length
        offset += length + 3 & ~3


def attributes(message: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, begin and end of each attribute's payload. Raises `ValueError` where lengths do not fit."""
    offset, end = BODY, len(message)
    while offset + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(message, offset)
        if length < 4 or offset + length > end:
            raise ValueError(f"an attribute of {length} bytes where {end - offset} are")
        yield kind & 0x3FFF, offset + 4, offset + length
        offset += length + 3 & ~3
    if offset < end:
        raise ValueError(f"{end - offset} bytes are no attribute")


def is_remnant(message: bytes) -> bool:
    """Whether it is what the kernel keeps of a socket that has ended, while the other end has not.

    Such a remnant is listed as FIN_WAIT2, which real sockets are too, with the socket's cookie and without tcp_info.
    """
    if message[STATE] != FIN_WAIT2:
        return False
    try:
        return all(kind != INFO for kind, _, _ in attributes(message))
    except ValueError:
        return False


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vectors_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Slot(ctypes.Structure):
    _fields_ = [("header", _Header), ("length", ctypes.c_uint)]


class Destroyed:
    """The kernel's announcement of every socket that ends, with its last counters.

    Its queue is bounded by the kernel and fills within milliseconds when thousands end at once, so it is emptied often
    and many at a time (recvmmsg, which Python has no name for): an empty look costs 2 µs. What the kernel could not
    queue is counted in `overflows`.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 4)
        self._socket.setblocking(False)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, DESTROYED_BUFFER_BYTES)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DESTROYED_BUFFER_BYTES)
        self._socket.bind((0, DESTROYED_GROUPS))
        self.overflows = 0
        self._memory = bytearray(_BATCH * _SLOT_BYTES)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._vectors = (_Vector * _BATCH)(*(_Vector(base + n * _SLOT_BYTES, _SLOT_BYTES) for n in range(_BATCH)))
        self._slots = (_Slot * _BATCH)()
        for slot, vector in zip(self._slots, self._vectors, strict=True):
            slot.header.vectors = ctypes.pointer(vector)
            slot.header.vectors_length = 1
        self._recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def buffer_bytes(self) -> int:
        """What the kernel lets it queue."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def drain(self) -> list[bytes]:
        """All messages that are there."""
        found: list[bytes] = []
        while True:
            count = self._recvmmsg(self._socket.fileno(), self._slots, _BATCH, socket.MSG_DONTWAIT, None)
            if count <= 0:
                if count < 0 and ctypes.get_errno() == errno.ENOBUFS:
                    self.overflows += 1
                    continue
                return found
            for n in range(count):
                begin = n * _SLOT_BYTES
                found.append(bytes(self._memory[begin : begin + self._slots[n].length]))
            if count < _BATCH:
                return found

    def close(self) -> None:
        self._socket.close()


def destroyed(data: bytes) -> bytes | None:
    """The message of a destroyed socket, None if it is none."""
    if len(data) < BODY:
        return None
    length, kind = struct.unpack_from("=IH", data)
    return data[:length] if kind == BY_FAMILY and BODY <= length <= len(data) else None
