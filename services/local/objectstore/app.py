"""The application: which address goes to which handler.

Routes match the quoted path, because an object's name may hold slashes, quoted. Identity is not checked: any bearer
token and none at all may do everything on the JSON API. Only the public path `GET /BUCKET/OBJECT` tells them apart:
without credentials it gives what allUsers may read, and 403 otherwise.
"""

from __future__ import annotations

import logging
import re
import urllib.parse
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.local.objectstore import (
    batch,
    buckets,
    downloads,
    errors,
    events,
    faults,
    iam,
    lifecycle,
    listing,
    objects,
    resumable,
    transfers,
    uploads,
)
from services.local.objectstore.call import Call, Server, answer

Handler = Callable[[Call], Awaitable[Response]]

log = logging.getLogger("objectstore")

B = "/storage/v1/b"
ONE = f"{B}/{{bucket}}"
O = f"{ONE}/o/{{object}}"  # noqa: E741 - the API's own word
TO = "b/{to_bucket}/o/{to_object}"


async def healthz(call: Call) -> Response:
    call.state.reader.execute("SELECT 1").fetchone()
    return answer({"status": "ok"})


async def get_object(call: Call) -> Response:
    if call.query.get("alt") == "media":
        return await downloads.media(call)
    return await objects.get(call)


async def without_acl(call: Call) -> Response:
    buckets.find(call.state.reader, call.path["bucket"])
    raise errors.invalid("Object ACLs do not exist here; use uniform bucket-level access and the bucket's policy")


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/healthz", healthz),
    ("GET", B, buckets.list_),
    ("POST", B, buckets.insert),
    ("GET", ONE, buckets.get),
    ("PATCH", ONE, buckets.patch),
    ("PUT", ONE, buckets.update),
    ("DELETE", ONE, buckets.delete),
    ("POST", f"{ONE}/lockRetentionPolicy", buckets.lock_retention_policy),
    ("GET", f"{ONE}/iam", iam.get),
    ("PUT", f"{ONE}/iam", iam.set_),
    ("GET", f"{ONE}/iam/testPermissions", iam.test_permissions),
    ("GET", f"{ONE}/o", listing.list_),
    ("GET", O, get_object),
    ("PATCH", O, objects.patch),
    ("PUT", O, objects.update),
    ("DELETE", O, objects.delete),
    ("POST", f"{O}/compose", transfers.compose),
    ("POST", f"{O}/copyTo/{TO}", transfers.copy),
    ("POST", f"{O}/rewriteTo/{TO}", transfers.rewrite),
    ("POST", f"{O}/moveTo/o/{{to_object}}", transfers.move),
    ("GET", f"/download{O}", downloads.media),
    ("POST", f"/upload{ONE}/o", uploads.start),
    ("PUT", f"/upload{ONE}/o", resumable.proceed),
    ("DELETE", f"/upload{ONE}/o", resumable.cancel),
    ("GET", "/_control/events", events.feed),
    ("POST", "/_control/subscriptions", events.subscribe),
    ("DELETE", "/_control/subscriptions/{id}", events.unsubscribe),
    ("POST", "/_control/lifecycle", lifecycle.control),
    ("POST", "/_control/crash", faults.crash),
    *((method, f"{place}/acl", without_acl) for method in ("GET", "POST", "PUT", "PATCH") for place in (ONE, O)),
)


def _pattern(route: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route))


class _Body:
    """A request's body, of which we know whether all of it was read.

    A client that is still sending when it is refused sees a broken connection in place of the answer: so the rest is
    read first, as the service does.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._ended = self._ended or message["type"] != "http.request" or not message.get("more_body")
        return message

    async def drain(self) -> None:
        while not self._ended:
            await self.receive()


class Application:
    """Routing, and the one place where refusals become responses."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.faults = faults.Faults(self._handle)
        control: list[tuple[str, str, Handler]] = [
            ("POST", "/_control/faults", partial(faults.add, faults=self.faults)),
            ("GET", "/_control/faults", partial(faults.show, faults=self.faults)),
            ("DELETE", "/_control/faults", partial(faults.clear, faults=self.faults)),
        ]
        self._routes: dict[str, list[tuple[re.Pattern[str], Handler]]] = {}
        for method, route, handler in (*ROUTES, *control):
            self._routes.setdefault(method, []).append((_pattern(route), handler))
        self._routes["GET"].append((re.compile(r"/(?P<bucket>[^/_][^/]*)/(?P<object>.+)"), downloads.public))
        self._batch = batch.handler(lambda: self.faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.faults(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive)
        request = Request(scope, body.receive)
        try:
            response = await self._dispatch(request)
        except errors.ApiError as error:
            response = errors.response(error)
        except errors.NotModified:
            response = Response(b"", 304)
        except ClientDisconnect:
            return
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            response = errors.response(errors.ApiError(500, "internalError", "We encountered an internal error."))
        await body.drain()
        await response(scope, receive, send)

    async def _dispatch(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1")
        method = "GET" if request.method == "HEAD" else request.method
        if method == "POST" and path == "/batch/storage/v1":
            return await self._batch(request)
        for pattern, handler in self._routes.get(method, ()):
            if found := pattern.fullmatch(path):
                try:
                    parts = {k: urllib.parse.unquote(v, errors="strict") for k, v in found.groupdict().items()}
                except UnicodeDecodeError:
                    raise errors.invalid("The address is not UTF-8") from None
                if "to_object" in parts:
                    parts.setdefault("to_bucket", parts["bucket"])
                return await handler(Call(self.server, request, parts, dict(request.query_params)))
        raise errors.ApiError(404, "notFound", f"Not Found: {request.method} {path[:128]}")


def build(server: Server) -> ASGIApp:
    return Application(server)
