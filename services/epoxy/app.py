"""The ASGI applications: one for each listener, over the same store, counters and boots.

| listener | boot protocol | administration | metrics, health |
| --- | --- | --- | --- |
| plain, on loopback or behind a proxy | yes | yes | yes |
| Linux, 443 | yes | yes | health |
| ROM, 4430: old suites, so no administrator's token may cross it | yes | no | health |

The administration API says what is wrong as one JSON object, the boot protocol as a line of text.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp

from services.epoxy import (
    admin,
    admin_boots,
    auth,
    boot,
    context,
    errors,
    extension,
    logs,
    openapi,
    plain,
    storage,
    store,
)

_BOOT_PATHS = ("/v1/", "/_ah/")


@dataclass(frozen=True, slots=True)
class Applications:
    """One for each listener."""

    plain: ASGIApp
    linux: ASGIApp
    rom: ASGIApp


def build(shared: context.Context, tokens: auth.Tokens) -> Applications:
    """Wire the parts; whoever made them closes them."""
    guarded = auth.Guard(Router([*admin_boots.routes(), *admin.routes()], redirect_slashes=False), tokens)
    health = Route("/healthz", healthz, name="healthz")
    booting: list[BaseRoute] = [*boot.routes(), *extension.routes(), *storage.routes(), _alive_route(), health]
    administration = Mount("/admin/v1", app=guarded)
    return Applications(
        plain=_app(
            shared,
            [
                *(*booting, administration),
                Route("/metrics", metrics, name="metrics"),
                Route("/openapi.json", described, name="openapi"),
            ],
        ),
        linux=_app(shared, [*booting, administration]),
        rom=_app(shared, booting),
    )


async def metrics(request: Request) -> Response:
    text = await run_in_threadpool(generate_latest, context.of(request).counted.registry)
    return Response(text, media_type=None, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def described(request: Request) -> Response:
    """What this server serves, as OpenAPI."""
    return JSONResponse(openapi.document())


async def healthz(request: Request) -> Response:
    """Asks the store."""
    await run_in_threadpool(context.of(request).hosts.check)
    return PlainTextResponse("ok")


async def alive(request: Request) -> Response:
    """The original's check: the process answers."""
    return PlainTextResponse("ok")


def _alive_route() -> Route:
    route = Route("/_ah/health", alive, name="alive", methods=["GET"])
    route.methods = {"GET"}  # not HEAD, as the original has it
    return route


def _app(shared: context.Context, routes: list[BaseRoute]) -> ASGIApp:
    app = Starlette(
        routes=routes,
        exception_handlers={
            errors.ApiError: _api_error,
            store.StoreError: _store_error,
            HTTPException: _http_error,
        },
    )
    app.router.redirect_slashes = False
    app.state.context = shared
    app.state.store = shared.hosts
    return logs.Access(app, shared.counted)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ApiError)
    return error.response()


async def _store_error(request: Request, error: Exception) -> Response:
    message = f"the store does not answer: {error}"[:256]
    return errors.ApiError(503, "store.unavailable", message, headers={"Retry-After": "1"}).response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if request.url.path.startswith(_BOOT_PATHS):
        context.of(request).counted.refused.labels("none", f"http-{error.status_code}").inc()
        if error.status_code == 405:
            return Response(status_code=405, headers=error.headers)
        return plain.text(error.status_code, plain.NOT_FOUND if error.status_code == 404 else str(error.detail))
    code = {404: "path.unknown", 405: "method.unknown"}.get(error.status_code, "http")
    message = f"{request.method} {request.url.path[:200]}: {error.detail}"
    return errors.ApiError(error.status_code, code, message, headers=error.headers).response()
