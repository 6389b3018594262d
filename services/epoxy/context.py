"""What the boot handlers share: settings, store, writer, counters, and the two sources that tests replace."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import aiohttp
from starlette.requests import Request

from services.epoxy import callers, manifests, metrics, objects, operations, presence, sessions, store, tls, writer

ROM_PORT = 4430


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chose; `public_host` is the name, and port if not 443, in every URL for Linux."""

    public_host: str
    storage: objects.Prefix = field(default_factory=lambda: objects.Prefix(""))
    media: Path | None = None
    rom_port: int = ROM_PORT
    trusted_proxies: tuple[callers.Network, ...] = ()
    refusal_script: bool = False
    certificates: bool = False
    """Whether stage1 needs a client certificate of the host beside its address."""
    policy: sessions.Policy = field(default_factory=sessions.Policy)
    operations: Mapping[str, operations.Operation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """One per process. `http` is the client towards storage and extension servers."""

    settings: Settings
    hosts: store.Store
    writer: writer.Writer
    counted: metrics.Metrics
    http: Callable[[], aiohttp.ClientSession]
    images: manifests.Manifests
    witness: presence.Witness | None = None
    now_ns: Callable[[], int] = time.time_ns
    entropy: Callable[[int], bytes] = field(default_factory=lambda: pooled(secrets.token_bytes))


def pooled(source: Callable[[int], bytes], size_bytes: int = 8192) -> Callable[[int], bytes]:
    """Random bytes out of a pool, each given once: a boot needs 80, and asking the kernel for them is dear."""
    guard, pool = threading.Lock(), bytearray()

    def take(count: int) -> bytes:
        with guard:
            if len(pool) < count:
                pool[:] = source(max(size_bytes, count))
            found = bytes(pool[:count])
            del pool[:count]
            return found

    return take


def of(request: Request) -> Context:
    return cast(Context, request.app.state.context)


def certified(request: Request, host: str) -> bool:
    """Whether the connection bears a certificate of this host, where one is needed."""
    if not of(request).settings.certificates:
        return True
    return host in tls.names(getattr(request.state, "certificate", None))


def caller(request: Request) -> callers.Address | None:
    """The address that counts as the caller's."""
    peer = request.client.host if request.client else ""
    return callers.caller(peer, request.headers.getlist("x-forwarded-for"), of(request).settings.trusted_proxies)
