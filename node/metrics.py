"""The metrics server that all long-running programs of a node have, on the port of `-prometheusx.listen-address`.

`GET /metrics` and nothing else; `:9990` listens on all addresses of both families, `host:port` and `[v6]:port` on one.
Every program exports `git_short_commit{commit}`, whose value is the commit read as a hexadecimal number, 0 where the
image does not say which (variable `GIT_SHORT_COMMIT`). Series of creation times, which would double every counter, are
off.
"""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

import prometheus_client
from prometheus_client.exposition import choose_encoder

from node import flags

LISTEN = flags.Flag("prometheusx.listen-address", str, ":9990", "where metrics are served: HOST:PORT or :PORT")
_TIMEOUT_S = 10


class AddressError(Exception):
    """An address that nobody can listen on."""


def registry() -> prometheus_client.CollectorRegistry:
    """A registry of its own for a program, with the series that every program has."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    made = prometheus_client.CollectorRegistry()
    commit = os.environ.get("GIT_SHORT_COMMIT", "")
    gauge = prometheus_client.Gauge(
        "git_short_commit", "The commit that this program was built from.", ["commit"], registry=made
    )
    with suppress(ValueError):
        gauge.labels(commit).set(0)
        gauge.labels(commit).set(int(commit, 16))
    return made


def address(text: str) -> tuple[str, int]:
    """Host (`""`: all) and port of `host:port`, `:port`, `[v6]:port`."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535 or (":" in bare and bare == host):
        raise AddressError(f"-{LISTEN.name} {text!r}: give HOST:PORT, :PORT or [IPV6]:PORT, a port up to 65535")
    return bare, int(port)


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def handle_error(self, *_: Any) -> None:
        """A scraper that goes away is no news."""


class Served:
    """A running server; leaving the context ends it."""

    def __init__(self, listen: str, collected: prometheus_client.CollectorRegistry) -> None:
        host, port = address(listen)
        try:
            listener = _listener(host, port)
        except OSError as error:
            raise AddressError(f"-{LISTEN.name} {listen!r}: cannot listen: {error}") from None
        self._server = _Server(listener, _handler(lambda accepted: choose_encoder(accepted)[0](collected)))
        self.port = int(listener.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True, name="metrics")
        self._thread.start()

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _listener(host: str, port: int) -> socket.socket:
    if host:
        ((family, _, _, _, where), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server(where[:2], family=family, backlog=_Server.request_queue_size)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _handler(render: Callable[[str], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            accepted = self.headers.get("Accept", "")
            body = render(accepted)
            self.send_response(200)
            self.send_header("Content-Type", choose_encoder(accepted)[1])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Scrapes are not logged."""

    return Handler
