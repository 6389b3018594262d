"""Addresses of a socket: which sockets are no measurement, and what of an address may be kept.

A connection whose addresses are loopback, link-local, multicast or unspecified never left the machine or has no other
end yet. Anonymised, an IPv4 address keeps 24 bits and an IPv6 one 48, unless it is the machine's own.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from node.tcpinfo import netlink

_LOG = logging.getLogger("tcpinfo")
_MAPPED = bytes(10) + b"\xff\xff"
_GET_ADDRESS = 22
_ADDRESS, _LOCAL = 1, 2
_LOOK_AGAIN_S = 60


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends; addresses are 4 bytes, or 16; a mapped IPv4 address is 4."""

    source_port: int
    destination_port: int
    source: bytes
    destination: bytes
    interface: int
    cookie: int


def ends(message: bytes) -> Ends:
    """Out of a whole message."""
    source_port, destination_port, source, destination, interface, cookie = struct.unpack_from(
        "!HH16s16s", message, netlink.SOCKET_ID
    ) + struct.unpack_from("=IQ", message, netlink.SOCKET_ID + 36)
    family = message[netlink.HEADER]
    return Ends(source_port, destination_port, _bare(family, source), _bare(family, destination), interface, cookie)


def cookie(message: bytes) -> int:
    """Out of a whole message."""
    return int(struct.unpack_from("=Q", message, netlink.COOKIE)[0])


def _bare(family: int, packed: bytes) -> bytes:
    if family == socket.AF_INET:
        return packed[:4]
    return packed[12:] if packed.startswith(_MAPPED) else packed


def text(packed: bytes) -> str:
    """An address as one reads it."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _internal(packed: bytes) -> bool:
    """Loopback, link-local, multicast, unspecified."""
    if len(packed) == 4:
        first = packed[0]
        return first == 127 or 224 <= first <= 239 or packed[:2] == b"\xa9\xfe" or packed == bytes(4)
    if packed[0] == 0xFF or (packed[0] == 0xFE and packed[1] & 0xC0 == 0x80):
        return True
    return packed[:15] == bytes(15) and packed[15] < 2


@dataclass(frozen=True, slots=True)
class Excluded:
    """Local ports and remote addresses that are not recorded."""

    ports: frozenset[int] = frozenset()
    destinations: frozenset[bytes] = frozenset()

    def has(self, of: Ends) -> bool:
        return (
            of.source_port in self.ports
            or _internal(of.source)
            or _internal(of.destination)
            or of.destination in self.destinations
        )


def excluded(ports: Iterable[str], destinations: Iterable[str]) -> Excluded:
    """Out of the flags. What is no port or no address is logged and left out."""
    good_ports, good_addresses = set(), set()
    for port in ports:
        if port.isascii() and port.isdecimal() and int(port) < 65536:
            good_ports.add(int(port))
        else:
            _LOG.error("-exclude-srcport %r is no port from 0 to 65535; left out", port)
    for address in destinations:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            _LOG.error("-exclude-dstip %r is no address; left out", address)
            continue
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        good_addresses.add((mapped or parsed).packed)
    return Excluded(frozenset(good_ports), frozenset(good_addresses))


def own() -> frozenset[bytes]:
    """The addresses of this network namespace, as the kernel lists them."""
    found: set[bytes] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as asked:
        asked.settimeout(netlink.ANSWER_TIMEOUT_S)
        asked.send(netlink.HEAD.pack(netlink.HEADER + 8, _GET_ADDRESS, 0x301, 1, 0) + bytes(8))
        while True:
            data = asked.recv(netlink.RECEIVE_BYTES)
            for offset, length in netlink.messages(data):
                kind = struct.unpack_from("=H", data, offset + 4)[0]
                if kind in (netlink.NETLINK_DONE, netlink.NETLINK_ERROR):
                    return frozenset(found)
                place, end = offset + netlink.HEADER + 8, offset + length
                while place + 4 <= end:
                    size, name = netlink.ATTRIBUTE.unpack_from(data, place)
                    if size < 4:
                        break
                    if name in (_ADDRESS, _LOCAL):
                        found.add(data[place + 4 : place + size])
                    place += size + 3 & ~3


def anonymised(header: bytes, kept: frozenset[bytes]) -> bytes:
    """The 72 bytes of a header with both addresses cut short, except those that are kept."""
    made = bytearray(header)
    for begin in (8, 24):
        packed = header[begin : begin + 16]
        bare = _bare(header[0], packed)
        if bare in kept:
            continue
        if header[0] == socket.AF_INET:
            made[begin + 3] = 0
        elif len(bare) == 4:
            made[begin + 15] = 0
        else:
            made[begin + 6 : begin + 16] = bytes(10)
    return bytes(made)


class Anonymiser:
    """Anonymises headers; addresses that the machine gets later are its own within a minute."""

    def __init__(self) -> None:
        self._own = own()
        self._looked = time.monotonic()

    def __call__(self, header: bytes) -> bytes:
        if time.monotonic() - self._looked > _LOOK_AGAIN_S:
            self._looked = time.monotonic()
            with suppress(OSError):  # the former ones hold until the next look
                self._own = own()
        return anonymised(header, self._own)
