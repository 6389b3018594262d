"""A proxy on loopback in front of a real name server's TCP port, which breaks answers in one named way.

For DNS what `faultproxy` is for HTTP. The first message of a connection decides: a fault may hold for updates only,
so that a zone can be read and not written.
"""

from __future__ import annotations

import select
import socket
import socketserver
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import dns.flags
import dns.message
import dns.opcode
import dns.rcode

from tests.serving import served

LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """How an answer goes wrong. `rcode` is that of an answer without a signature, as a filter in between would send."""

    kind: str
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    updates_only: bool = False


FAULTS: Mapping[str, Fault] = {
    "down": Fault("down"),
    "slow": Fault("slow"),
    "REFUSED": Fault("rcode", dns.rcode.REFUSED),
    "SERVFAIL": Fault("rcode", dns.rcode.SERVFAIL),
    "rubbish": Fault("rubbish"),
    "cut": Fault("cut"),
}


class DnsProxy:
    """`with DnsProxy("127.0.0.1:PORT") as proxy:`; set `fault`, and set it back to None to heal."""

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self.upstream = (host, int(port))
        self.fault: Fault | None = None
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._serving = served(self._server)

    def __enter__(self) -> DnsProxy:
        self._serving.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fault = None
        self._serving.__exit__(kind, error, trace)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


class _Handler(socketserver.BaseRequestHandler):
    owner: DnsProxy
    request: socket.socket

    def handle(self) -> None:
        try:
            self._handle()
        except OSError:
            return  # either side gave up: what many tests want

    def _handle(self) -> None:
        self.request.settimeout(LIMIT_S)
        size = self.request.recv(2, socket.MSG_WAITALL)
        query = self.request.recv(int.from_bytes(size), socket.MSG_WAITALL)
        fault = self.owner.fault
        updates = dns.opcode.from_flags(int.from_bytes(query[2:4])) == dns.opcode.UPDATE
        if fault is None or (fault.updates_only and not updates):
            self._relay(size + query)
        elif fault.kind == "slow":
            while self.owner.fault is fault and not self._gave_up():
                pass
        elif fault.kind == "rcode":
            flags = int.from_bytes(query[2:4]) | dns.flags.QR | fault.rcode
            answer = query[:2] + flags.to_bytes(2) + bytes(8)
            self.request.sendall(len(answer).to_bytes(2) + answer)
        elif fault.kind == "rubbish":
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" + bytes(20_000))
        elif fault.kind == "cut":
            self.request.sendall((500).to_bytes(2) + query[:2])

    def _gave_up(self) -> bool:
        ready, _, _ = select.select([self.request], [], [], 0.05)
        return bool(ready) and self.request.recv(1) == b""

    def _relay(self, first: bytes) -> None:
        with socket.create_connection(self.owner.upstream, LIMIT_S) as server:
            server.sendall(first)
            ends = {self.request: server, server: self.request}
            while True:
                ready, _, _ = select.select(list(ends), [], [], LIMIT_S)
                for end in ready:
                    piece = end.recv(65_536)
                    if not piece:
                        return
                    ends[end].sendall(piece)
                if not ready:
                    return
