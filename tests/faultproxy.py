"""A reverse proxy on loopback that passes requests to a real server, or breaks them in one named way.

For every provider that speaks HTTP/1.1: point it at `proxy.url` instead of at its server, set `proxy.fault`, and set
it back to None to heal. `proxy.seen` lists what arrived. `only` narrows a fault to some requests, `times` to the
first few. `before` sees each request that the server is about to get, `after` each that it answered, before the client
knows of it.
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from services.local import ports
from tests.serving import served

HANG_LIMIT_S = 60.0
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"})


@dataclass(frozen=True, slots=True)
class Fault:
    """How an answer goes wrong; use the functions below."""

    kind: str
    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    only: Callable[[str, str], bool] = lambda method, path: True
    times: int = -1
    forward: bool = False
    """True: the server carries the request out, and only its answer is lost or spoilt."""
    pause_s: float = 0.05
    """Between two bytes of a drip."""


def down(**options: Any) -> Fault:
    """The connection ends without a byte of answer."""
    return Fault("down", **options)


def slow(**options: Any) -> Fault:
    """No answer until the fault is lifted or the client gives up."""
    return Fault("slow", **options)


def status(code: int, *, body: bytes = b"no", headers: Mapping[str, str] | None = None, **options: Any) -> Fault:
    """An answer of this status, as a gateway would give it."""
    return Fault("answer", code, body, headers or {}, **options)


def html(**options: Any) -> Fault:
    """200 with a web page, as a captive portal would give it."""
    page = b"<!doctype html><title>Welcome</title><p>Please sign in"
    return Fault("answer", 200, page, {"Content-Type": "text/html"}, **options)


def truncated(**options: Any) -> Fault:
    """The head promises more than the body holds, then the connection ends."""
    return Fault("truncated", 200, b'{"hosts": [{"etag": "', {"Content-Type": "application/json"}, **options)


def drip(**options: Any) -> Fault:
    """One byte of white space every `pause_s` for ever: no read limit is ever reached."""
    return Fault("drip", 200, b"", {"Content-Type": "application/json"}, **options)


BAD_ANSWERS: Mapping[str, tuple[Fault, bool]] = {
    "down": (down(), True),
    "slow": (slow(), True),
    "drip": (drip(), True),
    "html": (html(), True),
    "truncated": (truncated(), True),
    "empty": (status(200, body=b""), True),
    "other json": (status(200, body=b'{"hello": "world"}'), True),
    "json list": (status(200, body=b"[1, 2]"), True),
    "deep json": (status(200, body=b"[" * 100_000), True),
    "redirect": (status(302, headers={"Location": "http://127.0.0.1:9/"}), False),
    "404 page": (status(404, body=b"<html>404 page not found"), False),
    **{str(code): (status(code), False) for code in (400, 401, 403, 405, 413, 422, 428)},
    **{str(code): (status(code, body=b"<html>busy"), True) for code in (408, 425, 429, 500, 502, 503, 504)},
}
"""What any HTTP server may answer in place of what was asked for, and whether the same call may succeed later."""


class FaultProxy:
    """`with FaultProxy("http://127.0.0.1:PORT") as proxy:`; a server behind TLS wants the `context` of its client."""

    def __init__(self, upstream: str, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(upstream)
        assert parts.scheme == ("http" if context is None else "https") and parts.hostname and parts.port, upstream
        self._upstream = (parts.hostname, parts.port)
        self._context = context
        self.seen: list[tuple[str, str]] = []
        self.before: Callable[[str, str, bytes], None] = lambda method, path, body: None
        self.after: Callable[[str, str, bytes, int], None] = lambda method, path, body, status: None
        self._fault: Fault | None = None
        self._left = -1
        self._changed = threading.Event()
        self._guard = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._serving = served(self._server)

    @property
    def fault(self) -> Fault | None:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        with self._guard:
            self._changed.set()
            self._changed = threading.Event()
            self._fault = fault
            self._left = -1 if fault is None else fault.times

    def take(self, method: str, path: str) -> tuple[Fault | None, threading.Event]:
        """What to do with this request, and the event that lifts it."""
        with self._guard:
            self.seen.append((method, path))
            fault = self._fault
            if fault is None or not fault.only(method, path) or self._left == 0:
                return None, self._changed
            self._left -= 1
            return fault, self._changed

    def connection(self) -> http.client.HTTPConnection:
        """A new one to the server behind."""
        host, port = self._upstream
        if self._context is None:
            return http.client.HTTPConnection(host, port, timeout=HANG_LIMIT_S)
        return http.client.HTTPSConnection(host, port, timeout=HANG_LIMIT_S, context=self._context)

    def __enter__(self) -> FaultProxy:
        self._serving.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fault = None
        self._serving.__exit__(kind, error, trace)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is what many tests want; nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        self._body = b""
        super().handle_one_request()

    def _pass(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._body = self.rfile.read(length)
        fault, lifted = self.owner.take(self.command, self.path)
        if fault is None:
            self._answer(*self._forward())
            return
        if fault.forward:
            self._forward()
        self.close_connection = True
        if fault.kind == "slow":
            self._wait(lifted)
        elif fault.kind == "answer":
            self._answer(fault.status, fault.headers, fault.body)
        elif fault.kind == "truncated":
            self._head(fault.status, fault.headers, len(fault.body) + 1000)
            self.wfile.write(fault.body)
        elif fault.kind == "drip":
            self._head(fault.status, fault.headers, 10**9)
            while not lifted.wait(fault.pause_s):
                self.wfile.write(b" ")

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _pass

    def _wait(self, lifted: threading.Event) -> None:
        # A client that gave up closes its side, which reads as an empty answer.
        self.connection.settimeout(0.05)
        for _ in range(int(HANG_LIMIT_S / 0.05)):
            try:
                if lifted.is_set() or self.connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def _forward(self) -> tuple[int, Mapping[str, str], bytes]:
        self.owner.before(self.command, self.path, self._body)
        answer = self._asked()
        self.owner.after(self.command, self.path, self._body, answer[0])
        return answer

    def _asked(self) -> tuple[int, Mapping[str, str], bytes]:
        connection = self.owner.connection()
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
            connection.request(self.command, self.path, self._body or None, headers)
            response = connection.getresponse()
            content = response.read()
            return response.status, {k: v for k, v in response.getheaders() if k.lower() not in _HOP}, content
        except (OSError, http.client.HTTPException):
            return 502, {"Content-Type": "text/plain"}, b"the server behind the proxy does not answer"
        finally:
            connection.close()

    def _answer(self, code: int, headers: Mapping[str, str], body: bytes) -> None:
        self._head(code, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, code: int, headers: Mapping[str, str], length: int) -> None:
        self.send_response(code)
        for key, value in headers.items():
            if key.lower() not in ("server", "date"):
                self.send_header(key, value)
        if code != 204:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: `seen` has it."""


def _unused() -> Iterator[int]:
    """Ports that no other worker is given, no platform (theirs are higher) and no client (higher still)."""
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = range(2048 + own, ports.LOWEST, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    while True:
        # Not the generator that is set back before each test.
        yield from random.SystemRandom().sample(mine, len(mine))


_ports = _unused()


def closed_port() -> int:
    """A port of loopback on which nothing listens."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")
