"""The extension server: ePoxy's operations `allocate_k8s_token` and `node_delete`, on the original's paths and shapes.

A machine that still runs the original's stage3 scripts gets what they read: three fields as JSON, or the bare token as
text. Errors have empty bodies. A token is in the answer's body and in its Secret, and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from services.epoxy import errors, incoming
from services.epoxy.tokens import bootstrap, call
from services.epoxy.tokens.api import Api, Failed
from services.epoxy.tokens.callers import Callers, Refused
from services.epoxy.tokens.metrics import ServerMetrics

BODY_S = 10.0
"""How long a caller may take to send its body."""
PER_HOST = 20
"""Tokens of one host that may be alive at once; a machine that keeps trying asks once a minute."""
NAME_ATTEMPTS = 3
NODES = "/api/v1/nodes"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LOG = logging.getLogger("epoxy.tokens")
Operation = Callable[[call.Call], Response]


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a machine is told of the cluster: where its API server is (`host:port`), and the hash of its CA's key."""

    api_address: str
    ca_hash: str


class Limit:
    """Counts the tokens that each host was given lately, in this process."""

    def __init__(self, most: int, within_s: float) -> None:
        self._most = most
        self._within_s = within_s
        self._given: dict[str, deque[float]] = {}
        self._guard = threading.Lock()

    def wait_s(self, host: str) -> float:
        """0 and one more is counted, or how long the host has to wait."""
        with self._guard:
            now = time.monotonic()
            for name in [name for name, times in self._given.items() if now - times[-1] > self._within_s]:
                del self._given[name]
            times = self._given.setdefault(host, deque(maxlen=self._most))
            if len(times) == self._most and now - times[0] <= self._within_s:
                return self._within_s - (now - times[0])
            times.append(now)
            return 0.0


def build(api: Api, cluster: Cluster, callers: Callers, counted: ServerMetrics) -> Starlette:
    """Wire the operations."""
    limit = Limit(PER_HOST, bootstrap.LIFETIME.total_seconds())

    def as_text(asked: call.Call) -> Response:
        return PlainTextResponse(_allocate(api, asked.host, limit).text)

    def as_json(asked: call.Call) -> Response:
        token = _allocate(api, asked.host, limit)
        return _JsonUtf8({"api_address": cluster.api_address, "token": token.text, "ca_hash": cluster.ca_hash})

    def delete(asked: call.Call) -> Response:
        answer = api.call("DELETE", f"{NODES}/{asked.host}")
        if not answer.ok and answer.status != 404:
            raise answer.failed(f"deleting node {asked.host}")
        return Response()

    def route(path: str, operation: Operation, times: Histogram, max_age: timedelta | None) -> Route:
        # Every method gets here: a caller that may not ask learns nothing, not even that the path exists.
        return Route(path, _endpoint(operation, callers, counted, times, max_age), methods=list(METHODS))

    async def scrape(request: Request) -> Response:
        text = await run_in_threadpool(generate_latest, counted.registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def front(request: Request) -> Response:
        return PlainTextResponse("ePoxy Extensions")

    made = Starlette(
        routes=[
            Route("/", front),
            Route("/metrics", scrape),
            route("/v1/allocate_k8s_token", as_text, counted.tokens, call.MAX_AGE),
            route("/v2/allocate_k8s_token", as_json, counted.tokens, call.MAX_AGE),
            # A machine leaves the cluster days after it booted.
            route("/v1/node/delete", delete, counted.nodes, None),
        ]
    )
    made.router.redirect_slashes = False
    return made


class _JsonUtf8(JSONResponse):
    media_type = "application/json; charset=utf-8"


class _Busy(Exception):
    """The host has too many tokens; `wait_s` until one of them is over."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


def _allocate(api: Api, host: str, limit: Limit) -> bootstrap.Token:
    wait_s = limit.wait_s(host)
    if wait_s:
        raise _Busy(wait_s)
    for _ in range(NAME_ATTEMPTS):
        token = bootstrap.new()
        answer = api.call("POST", bootstrap.PATH, bootstrap.manifest(token, host, datetime.now(UTC)))
        if answer.ok:
            return token
        if answer.status != 409:
            raise answer.failed("creating a token")
    raise Failed("creating a token", 409, "each name that was tried is taken")


def _endpoint(
    operation: Operation, callers: Callers, counted: ServerMetrics, times: Histogram, max_age: timedelta | None
) -> Callable[[Request], Awaitable[Response]]:
    """Checks the caller before anything is read, then method, body and age, as the original orders them."""

    async def answer(request: Request) -> tuple[Response, str, str]:
        host = ""
        try:
            peer = request.client.host if request.client else ""
            callers.check(peer, request.headers.get("authorization"))
            if request.method != "POST":
                return Response(status_code=405, headers={"Allow": "POST"}), host, "method"
            async with asyncio.timeout(BODY_S):
                body = await incoming.read_json(request)
            asked = call.parse(body, datetime.now(UTC), max_age=max_age)
            host = asked.host
            return await run_in_threadpool(operation, asked), host, ""
        except Refused as refused:
            counted.refused.labels(refused.reason).inc()
            return Response(status_code=refused.status), host, f"caller refused: {refused.reason}"
        except TimeoutError:
            return Response(status_code=408, headers={"Connection": "close"}), host, "the body did not come in time"
        except errors.ApiError as error:
            return Response(status_code=error.status, headers=error.headers), host, error.code
        except call.Malformed as error:
            return Response(status_code=400), host, str(error)
        except call.TooLate as error:
            return Response(status_code=408), host, str(error)
        except _Busy as busy:
            retry = {"Retry-After": str(int(busy.wait_s) + 1)}
            return Response(status_code=429, headers=retry), host, f"more than {PER_HOST} tokens at once"
        except Failed as failure:
            return Response(status_code=500), host, str(failure)

    async def endpoint(request: Request) -> Response:
        begun = time.monotonic()
        response, host, problem = await answer(request)
        seconds = time.monotonic() - begun
        times.labels(request.method.lower(), str(response.status_code)).observe(seconds)
        fields = {
            "path": request.url.path,
            "status": response.status_code,
            "host": host,
            "problem": problem[:256],
            "ms": round(seconds * 1000, 1),
            "peer": request.client.host if request.client else "",
        }
        level = logging.INFO if response.status_code < 400 else logging.WARNING
        _LOG.log(level, "request", extra={"fields": fields})
        return response

    return endpoint
