"""Netlink messages as the kernel makes them, for tests."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from node.tcpinfo import netlink

SEQUENCE, PORT = 5, 77
INFO_BYTES = 280


def attribute(kind: int, payload: bytes) -> bytes:
    padded = payload + bytes(-len(payload) % 4)
    return netlink.ATTRIBUTE.pack(len(payload) + 4, kind) + padded


def info(values: Mapping[int, bytes] | None = None, size: int = INFO_BYTES) -> bytes:
    """tcp_info with bytes at offsets."""
    made = bytearray(size)
    for offset, data in (values or {}).items():
        made[offset : offset + len(data)] = data
    return bytes(made)


def message(
    cookie: int,
    attributes: Mapping[int, bytes] | None = None,
    *,
    state: int = 1,
    source: str = "198.51.100.1",
    destination: str = "203.0.113.9",
    ports: tuple[int, int] = (5001, 38602),
    expires: int = 0,
    kind: int = netlink.BY_FAMILY,
    flags: int = 2,
    sequence: int = SEQUENCE,
    port: int = PORT,
) -> bytes:
    """One socket."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    ends = b"".join(socket.inet_pton(family, text).ljust(16, b"\0") for text in (source, destination))
    body = struct.pack("=BBBB", family, state, 0, 0) + struct.pack("!HH", *ports) + ends
    body += struct.pack("=IQIIIII", 0, cookie, expires, 0, 0, 65534, 4711)
    chosen = {7: bytes(36), 2: info(), 4: b"cubic\0"} if attributes is None else attributes
    body += b"".join(attribute(kind, payload) for kind, payload in chosen.items())
    return netlink.HEAD.pack(netlink.HEADER + len(body), kind, flags, sequence, port) + body


def done() -> bytes:
    return netlink.HEAD.pack(20, netlink.NETLINK_DONE, 2, SEQUENCE, PORT) + bytes(4)


def error(code: int, flags: int = 0) -> bytes:
    return netlink.HEAD.pack(36, netlink.NETLINK_ERROR, flags, SEQUENCE, PORT) + struct.pack("=i", -code) + bytes(16)
