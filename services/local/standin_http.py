"""A small HTTP/1.1 server for the stand-in: a proxy's request line (`GET http://host/path`) is all that it needs more.

ASGI servers take a request's path apart and lose the host that a proxy is asked for, so this speaks h11 itself. It
only answers: nothing in here opens a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import h11

BODY_LIMIT = 4 * 1024 * 1024
"""Alertmanager sends all alerts of a group in one message; a fleet's worth is below a megabyte."""
IDLE_S = 120.0
"""Longer than the interval of a scrape, so that connections are used again."""
TEXT = "text/plain; version=0.0.4; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """`target` is what stood in the request line: a path, or a whole URL for a proxy."""

    method: str
    target: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer."""

    status: int
    body: str = ""
    content_type: str = TEXT


Handler = Callable[[Request], Response]


class Connection(asyncio.Protocol):
    """One connection: requests are answered in order, on the event loop, as none of them waits for anything."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._http = h11.Connection(h11.SERVER)
        self._transport: asyncio.Transport | None = None
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._rest()
        self._http.receive_data(data)
        try:
            self._advance()
        except h11.RemoteProtocolError as error:
            self._refuse(Response(error.error_status_hint, f"{error}\n"))

    def _advance(self) -> None:
        while self._transport is not None:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                self._close()
                return
            if isinstance(event, h11.Request):
                self._request, self._body = event, bytearray()
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > BODY_LIMIT:
                    self._refuse(Response(413, f"at most {BODY_LIMIT} bytes\n"))
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._answer()

    def _answer(self) -> None:
        assert self._request is not None
        method, target = self._request.method.decode("ascii"), self._request.target.decode("latin-1")
        self._send(self._handler(Request(method, target, bytes(self._body))), head=method == "HEAD")
        if self._http.our_state is h11.MUST_CLOSE:
            self._close()
        elif self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()

    def _send(self, response: Response, *, head: bool = False) -> None:
        body = response.body.encode()
        headers = [("Content-Type", response.content_type), ("Content-Length", str(len(body)))]
        reason = HTTPStatus(response.status).phrase
        parts = [
            self._http.send(h11.Response(status_code=response.status, headers=headers, reason=reason)),
            b"" if head else self._http.send(h11.Data(data=body)),
            self._http.send(h11.EndOfMessage()),
        ]
        if self._transport is not None:
            self._transport.write(b"".join(part for part in parts if part))

    def _refuse(self, response: Response) -> None:
        """Answer if that is still possible, then hang up."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(response)
        self._close()

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._close)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
