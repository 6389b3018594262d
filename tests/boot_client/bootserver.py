"""An HTTPS server on loopback whose answers a test scripts: what is there, and what goes wrong with it, in order.

It is a real server with real TLS. What it can do wrong is what servers and networks do: errors with and without
Retry-After, connections that break in the middle of a file, files that change, redirects, answers that trickle.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.serving import served


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    tls: str
    cipher: str

    @property
    def form(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `cut_at`: the connection breaks after so many bytes of the body; `pause_s` between pieces."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    ranges: bool = False
    etag: str = ""
    pause_s: float = 0.0


def file(body: bytes, **more: Any) -> Reply:
    """A file as a storage server gives it: with a tag, and in ranges."""
    tag = more.pop("etag", f'"{hashlib.md5(body).hexdigest()}"')
    return Reply(200, body, ranges=True, etag=tag, **more)


def document(value: Any) -> Reply:
    return Reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


class Site:
    """What one test has on the server, below a path of its own."""

    def __init__(self, base: str, prefix: str) -> None:
        self.base = base
        self.prefix = prefix
        self.asked: list[Asked] = []
        self._replies: dict[tuple[str, str], list[Reply]] = {}
        self._lock = threading.Lock()

    def url(self, path: str) -> str:
        return f"{self.base}{self.prefix}{path}"

    def on(self, method: str, path: str, *replies: Reply) -> str:
        """Answer in this order; the last one stays. Gives the URL."""
        self._replies[method, self.prefix + path] = list(replies)
        return self.url(path)

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            replies = self._replies.get((asked.method, asked.path.partition("?")[0]), [Reply(404, b"no such page\n")])
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def of(self, method: str, path: str) -> list[Asked]:
        wanted = self.prefix + path
        return [one for one in self.asked if one.method == method and one.path.partition("?")[0] == wanted]


class Server:
    """One listener; sites come and go."""

    def __init__(self, leaf: Path | None, *, shape: Callable[[ssl.SSLContext], None] | None = None) -> None:
        self._sites: dict[str, Site] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                outer.serve(self)

            do_GET = do_POST = do_HEAD = _serve

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request: Any, client_address: Any) -> None:
                if context is None:
                    super().finish_request(request, client_address)
                    return
                try:
                    request.settimeout(120)
                    secured = context.wrap_socket(request, server_side=True)
                except (OSError, ssl.SSLError):
                    return
                try:
                    super().finish_request(secured, client_address)
                finally:
                    secured.close()

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        context = None
        if leaf is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(leaf)
            if shape is not None:
                shape(context)
        self._listener = Listener(("127.0.0.1", 0), Handler)
        scheme = "http" if leaf is None else "https"
        self.port = self._listener.server_address[1]
        self.base = f"{scheme}://127.0.0.1:{self.port}"
        self._serving = ExitStack()
        self._serving.enter_context(served(self._listener))

    def close(self) -> None:
        self._serving.close()

    def site(self) -> Site:
        prefix = f"/t{len(self._sites)}"
        self._sites[prefix] = Site(self.base, prefix)
        return self._sites[prefix]

    def serve(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        site = self._sites["/" + handler.path.split("/")[1]]
        tls, cipher = "", ""
        if isinstance(handler.connection, ssl.SSLSocket):
            tls = handler.connection.version() or ""
            cipher = (handler.connection.cipher() or ("",))[0]
        headers = {key.lower(): value for key, value in handler.headers.items()}
        reply = site.answer(Asked(handler.command, handler.path, headers, body, tls, cipher))
        _send(handler, reply, headers)


def _send(handler: http.server.BaseHTTPRequestHandler, reply: Reply, asked: dict[str, str]) -> None:
    status, body, headers = reply.status, reply.body, dict(reply.headers)
    if reply.ranges and "range" in asked and asked.get("if-range", reply.etag) == reply.etag:
        start = int(asked["range"].removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            status, headers["Content-Range"], body = 416, f"bytes */{len(body)}", b""
        else:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            status, body = 206, body[start:]
    if reply.etag:
        headers["ETag"] = reply.etag
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key, value)
    if not {"Content-Length", "Transfer-Encoding", "Connection"} & set(headers):
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    shown = body if reply.cut_at is None else body[: reply.cut_at]
    if reply.pause_s:
        for position in range(0, len(shown), 16):
            handler.wfile.write(shown[position : position + 16])
            time.sleep(reply.pause_s)
    else:
        handler.wfile.write(shown)
    if reply.cut_at is not None:
        handler.close_connection = True
