"""The PROXY protocol, versions 1 and 2: a proxy that cannot speak TLS for us says who the client is, before the client.

By the specification of haproxy.org, `proxy-protocol.txt`. Only who is trusted has a say, and must have it: a connection
from a trusted prefix begins with a header, any other one is served as it is, so that nobody can pass for somebody else.
The header comes in one piece at the begin, which the specification asks of a proxy: the kernel wakes us only when the
first bytes are there, and what is no header by then ends the connection.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

from services.epoxy import callers

PATIENCE_S = 10
"""For the first bytes of a connection, in the kernel."""
MAX_BYTES = 536
"""Of a header: 107 in version 1; in version 2 what every network carries in one piece."""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = struct.Struct("!12sBBH")
_FAMILIES = {0x11: 4, 0x21: 16}
"""TCP over IPv4 and over IPv6: the length of an address."""


class NoHeader(Exception):
    """What came first is no header that this server takes."""


def parse(data: bytes) -> tuple[int, tuple[str, int] | None]:
    """Length of the header that `data` begins with, and the client; None: the proxy speaks for itself.

    Raises `NoHeader`, also for one that is cut short.
    """
    if data.startswith(b"PROXY "):
        return _text(data)
    if len(data) < _FIXED.size or not data.startswith(SIGNATURE):
        raise NoHeader("no PROXY header")
    _, version, family, length = _FIXED.unpack_from(data)
    end = _FIXED.size + length
    if version not in (0x20, 0x21) or end > len(data):
        raise NoHeader("not version 2, or not whole")
    if version == 0x20 or family not in _FAMILIES:
        return end, None
    size = _FAMILIES[family]
    if length < 2 * size + 4:
        raise NoHeader("addresses are missing")
    source = data[_FIXED.size : _FIXED.size + size]
    (port,) = struct.unpack_from("!H", data, _FIXED.size + 2 * size)
    return end, (str(ipaddress.ip_address(source)), port)


def _text(data: bytes) -> tuple[int, tuple[str, int] | None]:
    line, end, _ = data[:108].partition(b"\r\n")
    words = line.split(b" ")
    if not end or len(words) < 2:
        raise NoHeader("not whole")
    if words[1] == b"UNKNOWN":
        return len(line) + 2, None
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6") or not words[4].isdigit() or int(words[4]) > 65535:
        raise NoHeader("no client")
    try:
        address = ipaddress.ip_address(words[2].decode("ascii"))
    except ValueError:
        raise NoHeader("no address") from None
    if address.version != int(words[1][3:]):
        raise NoHeader("an address of the other family")
    return len(line) + 2, (str(address), int(words[4]))


class Listening(socket.socket):
    """A socket whose `accept` gives the client that a trusted proxy names. `refused` is told of each without one."""

    trusted: Sequence[callers.Network]
    refused: Callable[[], None]

    @classmethod
    def of(cls, bound: socket.socket, trusted: Sequence[callers.Network], refused: Callable[[], None]) -> Listening:
        """Take over a socket that listens."""
        made = cls(fileno=bound.detach())
        made.trusted = trusted
        made.refused = refused
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, PATIENCE_S)
        return made

    def accept(self) -> tuple[socket.socket, Any]:
        """As of any socket. `ConnectionAbortedError`, which servers know, is a proxy that does not say for whom."""
        connection, peer = super().accept()
        if not callers.within(callers.parse(peer[0]), self.trusted):
            return connection, peer
        try:
            connection.setblocking(False)
            length, client = parse(connection.recv(MAX_BYTES, socket.MSG_PEEK))
            connection.recv(length)
        except (OSError, NoHeader) as error:
            connection.close()
            self.refused()
            raise ConnectionAbortedError(f"{peer[0]}: {error}") from None
        return connection, peer if client is None else client
