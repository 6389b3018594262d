"""The ASGI application: the administration API behind its guard, metrics, health.

The boot protocol gets routes of its own beside `/admin/v1`, outside the guard: its callers are known by address and
session, not by token. All errors leave as one JSON object here; the boot routes will bring their plain-text ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp

from services.epoxy import admin, auth, errors, logs, metrics, store


def build(hosts: store.Store, tokens: auth.Tokens) -> ASGIApp:
    """Wire the parts; the store is closed when the server stops."""
    counted = metrics.Metrics(hosts)

    async def scrape(request: Request) -> Response:
        text = await run_in_threadpool(generate_latest, counted.registry)
        return Response(text, media_type=None, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(request: Request) -> Response:
        await run_in_threadpool(hosts.check)
        return PlainTextResponse("ok")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        hosts.close()

    guarded = auth.Guard(Router(admin.routes(), redirect_slashes=False), tokens)
    app = Starlette(
        routes=[
            Mount("/admin/v1", app=guarded),
            Route("/metrics", scrape, name="metrics"),
            Route("/healthz", healthz, name="healthz"),
        ],
        exception_handlers={
            errors.ApiError: _api_error,
            store.StoreError: _store_error,
            HTTPException: _http_error,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.store = hosts
    return logs.Access(app, counted)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ApiError)
    return error.response()


async def _store_error(request: Request, error: Exception) -> Response:
    message = f"the store does not answer: {error}"[:256]
    return errors.ApiError(503, "store.unavailable", message, headers={"Retry-After": "1"}).response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "path.unknown", 405: "method.unknown"}.get(error.status_code, "http")
    message = f"{request.method} {request.url.path[:200]}: {error.detail}"
    return errors.ApiError(error.status_code, code, message, headers=error.headers).response()
