"""Limits of one connection, on top of the ASGI server's own parser: how long and how large heads and bodies may be.

A machine that boots sends its request at once. Who sends a byte now and then holds a connection for nothing, so a head
has seconds, a body a little longer, and then the connection closes. Counted by what ran out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10.0
BODY_S = 30.0
MAX_HEAD_BYTES = 16 * 1024
MAX_HEADERS = 64


def protocol(
    count: Callable[[str], None],
    agreed: Callable[[str, str], None],
    listener: str,
    *,
    head_s: float = HEAD_S,
    body_s: float = BODY_S,
) -> type[HttpToolsProtocol]:
    """The protocol of one listener with these limits.

    `count` is told why a connection was cut, `agreed` the TLS version and cipher of each; requests know them, too.
    """

    class Limited(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _head_bytes = 0
        _parsed_bytes = 0
        _in_head = True
        _certificate: object = None
        _tls = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # Of what was accepted: a proxy in front may have named another one than the socket knows.
            self.client = transport.get_extra_info("peername")[:2]
            self._certificate = transport.get_extra_info("peercert")
            if (secured := transport.get_extra_info("ssl_object")) is not None:
                version, cipher = str(secured.version()), str(secured.cipher()[0])
                agreed(version, cipher)
                self._tls = f"{version} {cipher}"
            self._arm(head_s, "slow-head")

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                self._head_bytes += len(data)
                if self._timer is None:
                    self._arm(head_s, "slow-head")
            super().data_received(data)
            if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
                self._cut("large-head")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._parsed_bytes = 0
            self.scope["state"] |= {"certificate": self._certificate, "listener": listener, "tls": self._tls}

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            self._parsed(len(url))

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            self._parsed(len(name) + len(value))

        def _parsed(self, size_bytes: int) -> None:
            self._parsed_bytes += size_bytes
            if self._parsed_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
                raise ValueError("the head is too large")  # becomes 400

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._disarm()
            self._arm(body_s, "slow-body")
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_head, self._head_bytes = True, 0
            self._disarm()
            super().on_message_complete()

        def send_400_response(self, msg: str) -> None:
            count("malformed")
            super().send_400_response(msg)

        def _arm(self, seconds: float, reason: str) -> None:
            self._timer = self.loop.call_later(seconds, self._cut, reason)

        def _disarm(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _cut(self, reason: str) -> None:
            self._disarm()
            if not self.transport.is_closing():
                count(reason)
                self.transport.abort()

    return Limited
