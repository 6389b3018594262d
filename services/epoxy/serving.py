"""The listeners of one process: sockets, TLS, a graceful end, and certificates taken up while serving.

Each listener is a server of its own in the same event loop, over the same store. A signal stops all of them: no new
connection, what is under way is finished, and only then are writer and store closed.
"""

from __future__ import annotations

import asyncio
import asyncio.constants
import asyncio.sslproto
import contextlib
import logging
import resource
import signal
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from services.epoxy import deadlines, handshakes, metrics, tls

GRACE_S = 30
KEEP_ALIVE_S = 75
REFRESH_S = 5.0
MAX_CONNECTIONS = 4096
BACKLOG = 1024
_LOG = logging.getLogger("epoxy")


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket, what it serves, and its identity; without one it is plain HTTP."""

    name: str
    socket: socket.socket
    app: ASGIApp
    identity: tls.Identity | None = None


def bind(listen: str, option: str) -> socket.socket:
    """A socket that listens at ADDRESS:PORT or [IPV6]:PORT. Raises ValueError or OSError."""
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(f"{option} {listen!r}: give ADDRESS:PORT with a port from 0 to 65535")
    six = host.startswith("[") and host.endswith("]")
    family = socket.AF_INET6 if six else socket.AF_INET
    made = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=BACKLOG)
    # Accepted connections inherit it. asyncio would set it only on sockets made with the TCP protocol number, and
    # without it each answer waits 40 ms for the acknowledgement of its head.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def raise_limit_of_files() -> None:
    """A storm of machines has a connection each; the usual soft limit of 1024 files is for programs with few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 4 * MAX_CONNECTIONS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def address(made: socket.socket) -> str:
    host, port = made.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# asyncio keeps a receive buffer of 256 KiB for each TLS connection, 128 MiB in a storm of 500 machines, for requests of
# a few hundred bytes.
asyncio.sslproto.SSLProtocol.max_size = 32 * 1024


async def serve(
    listeners: Sequence[Listener],
    counted: metrics.Metrics,
    *,
    head_s: float = deadlines.HEAD_S,
    body_s: float = deadlines.BODY_S,
) -> None:
    """Serve all of them until SIGTERM or SIGINT. A TLS handshake has twice as long as a head."""
    # The server has no option for it, and waits a minute.
    asyncio.constants.SSL_HANDSHAKE_TIMEOUT = 2 * head_s

    def cut(reason: str) -> None:
        counted.cut.labels(reason).inc()

    def agreed(listener: str, version: str, cipher: str) -> None:
        counted.tls.labels(listener, version, cipher).inc()

    handshakes.tell()
    servers = []
    for listener in listeners:
        if listener.identity is not None:
            listener.identity.context.failed = partial(_failed, counted, listener.name)
        limited = deadlines.protocol(cut, partial(agreed, listener.name), listener.name, head_s=head_s, body_s=body_s)
        servers.append(_Server(_config(listener, limited)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, servers)
    refresh = asyncio.create_task(_refresh([one.identity for one in listeners if one.identity], counted))
    try:
        pairs = zip(servers, listeners, strict=True)
        await asyncio.gather(*(server.serve(sockets=[listener.socket]) for server, listener in pairs))
    finally:
        refresh.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _failed(counted: metrics.Metrics, listener: str, reason: str) -> None:
    counted.tls_failed.labels(listener, reason).inc()


class _Server(uvicorn.Server):
    """Leaves signals to `serve`: several servers would each take the others' handlers away."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _stop(servers: Sequence[uvicorn.Server]) -> None:
    for server in servers:
        server.should_exit = True


def _config(listener: Listener, protocol: type[asyncio.Protocol]) -> uvicorn.Config:
    identity = listener.identity

    def context(config: uvicorn.Config, default: object) -> ssl.SSLContext:
        assert identity is not None
        return identity.context

    return uvicorn.Config(
        listener.app,
        http=protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_context_factory=None if identity is None else context,
    )


async def _refresh(identities: Sequence[tls.Identity], counted: metrics.Metrics) -> None:
    while True:
        for identity in identities:
            identity.refresh()
            counted.certificate_until.labels(identity.name).set(identity.not_after_s)
            counted.certificate_failures.labels(identity.name).set(identity.failures)
        await asyncio.sleep(REFRESH_S)
