"""The administration API under `/admin/v1`: hosts with preconditions, and the locks of scopes.

`GET /hosts?limit=&after=` · `GET|PUT|DELETE /hosts/NAME` · `GET|PUT|PATCH|DELETE /locks/SCOPE` (PATCH renews). Every
write of a host names the etag that it saw, or that there was none; the etag covers the administrator's fields only.
"""

from __future__ import annotations

import time
from typing import cast

from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.epoxy import errors, incoming, locks, records, store, validate

PAGE_DEFAULT, PAGE_MAX = 500, 1000


class Hosts(HTTPEndpoint):
    """The list, in pages ordered by name."""

    async def get(self, request: Request) -> Response:
        limit = incoming.number(request, "limit", default=PAGE_DEFAULT, maximum=PAGE_MAX)
        after = request.query_params.get("after", "")
        return await run_in_threadpool(self._page, _store(request), after, limit)

    @staticmethod
    def _page(hosts: store.Store, after: str, limit: int) -> Response:
        found = hosts.page(after, limit + 1)
        following = found[limit - 1].desired.name if len(found) > limit else None
        return JSONResponse({"hosts": [host.json() for host in found[:limit]], "next": following})


class Host(HTTPEndpoint):
    """One record."""

    async def get(self, request: Request) -> Response:
        name = validate.host_name(request.path_params["name"])
        host = await run_in_threadpool(_store(request).get, name)
        if host is None:
            raise absent(name)
        return answer(host)

    async def put(self, request: Request) -> Response:
        name = validate.host_name(request.path_params["name"])
        expected = incoming.precondition(request, creation=True)
        body = await incoming.read_json(request)
        if expected is not None and isinstance(body, dict) and "Callers" not in body:
            # The precondition makes sure that what is kept here is what the writer saw.
            live = await run_in_threadpool(_store(request).get, name)
            body["Callers"] = [] if live is None else list(live.desired.callers)
        desired = validate.desired(body, name)
        try:
            host = await run_in_threadpool(_store(request).put, desired, expected=expected)
        except store.Moved as refused:
            raise moved(refused) from None
        return answer(host, status=201 if expected is None else 200)

    async def delete(self, request: Request) -> Response:
        name = validate.host_name(request.path_params["name"])
        expected = cast(int, incoming.precondition(request, creation=False))
        try:
            await run_in_threadpool(_store(request).delete, name, expected=expected)
        except store.Absent:
            raise absent(name) from None
        except store.Moved as refused:
            raise moved(refused) from None
        except store.Protected:
            message = f"{name} is protected; write it with Protect: false first"
            raise errors.ApiError(409, "host.protected", message, field="Protect") from None
        return Response(status_code=204)


class Lock(HTTPEndpoint):
    """The lock of one scope."""

    async def get(self, request: Request) -> Response:
        scope = locks.scope_name(request.path_params["scope"])
        lock = await run_in_threadpool(_store(request).lock, scope)
        if lock is None:
            raise locks.absent(scope)
        return JSONResponse(lock.json(time.time()))

    async def put(self, request: Request) -> Response:
        scope = locks.scope_name(request.path_params["scope"])
        wanted = locks.parse_request(scope, await incoming.read_json(request))

        def change(current: locks.Lock | None) -> locks.Lock:
            return locks.acquire(current, wanted, time.time())

        return _locked(await run_in_threadpool(_store(request).change_lock, scope, change))

    async def patch(self, request: Request) -> Response:
        scope = locks.scope_name(request.path_params["scope"])
        identity, ttl_s = locks.parse_renewal(await incoming.read_json(request))

        def change(current: locks.Lock | None) -> locks.Lock:
            return locks.renew(current, scope, identity, ttl_s, now_s=time.time())

        return _locked(await run_in_threadpool(_store(request).change_lock, scope, change))

    async def delete(self, request: Request) -> Response:
        scope = locks.scope_name(request.path_params["scope"])
        identity = locks.identity(request.query_params.get("identity"))

        def change(current: locks.Lock | None) -> None:
            locks.release(current, scope, identity, time.time())

        await run_in_threadpool(_store(request).change_lock, scope, change)
        return Response(status_code=204)


def routes() -> list[Route]:
    return [Route("/hosts", Hosts), Route("/hosts/{name}", Host), Route("/locks/{scope:path}", Lock)]


def _store(request: Request) -> store.Store:
    return cast(store.Store, request.app.state.store)


def answer(host: records.Host, status: int = 200) -> Response:
    return JSONResponse(host.json(), status_code=status, headers={"ETag": host.etag})


def _locked(lock: locks.Lock | None) -> Response:
    assert lock is not None, "taking or renewing a lock leaves one"
    return JSONResponse(lock.json(time.time()))


def absent(name: str) -> errors.ApiError:
    return errors.ApiError(404, "host.absent", f"there is no host {name}")


def moved(refused: store.Moved) -> errors.ApiError:
    found = "absent" if refused.current is None else f'at etag "{refused.current}"'
    expected = "absent" if refused.expected is None else f'"{refused.expected}"'
    return errors.ApiError(
        412, "host.moved", f"{refused.name} is {found}, expected {expected}; read it again", field="If-Match"
    )
