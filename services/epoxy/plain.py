"""Answers of the boot protocol that are not a success: plain text, as the original's clients know them.

Every refusal leaves here, so that each is counted by route and reason and none can be logged with what it refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from services.epoxy import context, errors, scripts, sessions, store

NO_HOST = "datastore: no such entity"
NOT_FOUND = "404 page not found"
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")

Handler = Callable[[Request], Awaitable[Response]]


def text(status: int, message: str, *, retry_after_s: int | None = None) -> Response:
    """One line of text."""
    headers = {"X-Content-Type-Options": "nosniff"}
    if status == 413:
        headers["Connection"] = "close"
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Response(f"{message}\n", status, headers=headers, media_type="text/plain")


def not_found() -> sessions.Refused:
    """404 for a path that means nothing."""
    return sessions.Refused("path", NOT_FOUND, status=404)


def host_name(request: Request) -> str:
    """The host of the path. What cannot be a name is as unknown as a name without a record."""
    name = str(request.path_params["hostname"])
    if not _HOST.fullmatch(name):
        raise sessions.Refused("host-name", NO_HOST, status=404)
    return name


def refusing(route: str, *, script: bool = False) -> Callable[[Handler], Handler]:
    """Turn what a handler raises into its answer; `script` permits the one that shows the reason on a console."""

    def around(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def refused(request: Request) -> Response:
            here = context.of(request)
            try:
                return await handler(request)
            except store.Absent:
                refusal = sessions.Refused("host-unknown", NO_HOST, status=404)
            except sessions.Refused as raised:
                refusal = raised
            except errors.ApiError as raised:
                refusal = sessions.Refused(raised.code, raised.message, status=raised.status)
            except scripts.Unspeakable as raised:
                refusal = sessions.Refused("unspeakable", str(raised), status=500)
            except store.StoreError:
                refusal = sessions.Refused("store", "the store does not answer", status=500, retry_after_s=1)
            here.counted.refused.labels(route, refusal.reason).inc()
            request.scope["epoxy.refused"] = refusal.reason
            if script and here.settings.refusal_script and refusal.status in (403, 404):
                name = str(request.path_params["hostname"])
                return Response(scripts.refusal(name, refusal.text), media_type=None, headers=IPXE)
            return text(refusal.status, refusal.text, retry_after_s=refusal.retry_after_s)

        return refused

    return around


IPXE = {"Content-Type": "text/plain; charset=us-ascii"}
