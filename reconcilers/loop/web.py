"""What a loop answers over HTTP: `/healthz`, `/readyz`, `/metrics`, `/status`, and `POST /hook`.

A hook only makes the loop fetch at once, so that a replayed one does no harm. It is believed if its
`X-Hub-Signature-256` is the HMAC-SHA256 of the body under the shared secret (GitHub's webhook signature); without a
secret there is no hook.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

MAX_HOOK_BYTES = 25 * 1024 * 1024
"""The most that GitHub sends."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Where the answers come from."""

    alive: Callable[[], str]
    """Empty, or why the loop is stuck."""
    ready: Callable[[], str]
    """Empty, or what is still missing."""
    status: Callable[[], Mapping[str, Any]]
    registry: CollectorRegistry
    fetch: Callable[[], None]
    secret: bytes


def application(answers: Answers) -> Starlette:
    """The routes."""

    def text(said: str) -> Response:
        return PlainTextResponse(f"{said or 'ok'}\n", 503 if said else 200)

    async def healthz(request: Request) -> Response:
        return text(answers.alive())

    async def readyz(request: Request) -> Response:
        return text(answers.ready())

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(answers.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def status(request: Request) -> Response:
        return JSONResponse(dict(answers.status()))

    async def hook(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_HOOK_BYTES:
                return PlainTextResponse(f"more than {MAX_HOOK_BYTES} bytes\n", 413)
        if not signed(answers.secret, body, request.headers.get("x-hub-signature-256", "")):
            return PlainTextResponse("the signature is not that of the shared secret\n", 401)
        answers.fetch()
        return PlainTextResponse("fetching\n", 202)

    routes = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        Route("/status", status),
    ]
    if answers.secret:
        routes.append(Route("/hook", hook, methods=["POST"]))
    return Starlette(routes=routes)


def signed(secret: bytes, body: bytes, signature: str) -> bool:
    """Compared in constant time."""
    expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))


class Server:
    """uvicorn in a thread of its own; `address` is known once it listens."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        config = uvicorn.Config(
            app, host=host, port=port, log_config=None, access_log=False, lifespan="off", server_header=False
        )
        self._server = uvicorn.Server(config)
        self._listener = config.bind_socket()
        self._listener.listen(128)  # who asks before the server runs waits, instead of being refused
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="web", daemon=True
        )

    @property
    def address(self) -> str:
        """`host:port`."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End; requests in flight are answered."""
        self._server.should_exit = True
        self._thread.join(10)
