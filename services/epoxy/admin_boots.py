"""The part of the administration API that is about boots: the next one, those so far, and what would happen now.

`PUT|DELETE /hosts/NAME/next-boot` · `POST /hosts/NAME/retire` · `GET /hosts/NAME/history?limit=` · `GET
/hosts/NAME/explain?address=`. The next boot belongs to the server's half of a record, so that git does not undo it;
retiring by hand writes the administrator's half, which git may undo, and needs the etag as every such write does.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.epoxy import admin, callers, context, errors, explain, incoming, records, sessions, store, validate

MAX_EXPIRY_S = 30 * 86400
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|")
_KEYS = ("sequence", "version", "expires_in_s", "until_success")


class NextBoot(HTTPEndpoint):
    """An order for the next boot alone; with `until_success` the original's update flag instead."""

    async def put(self, request: Request) -> Response:
        order = _order(await incoming.read_json(request), context.of(request).now_ns())
        return await _observe(request, order)

    async def delete(self, request: Request) -> Response:
        return await _observe(request, lambda seen: dataclasses.replace(seen, next_boot=None))


class Retire(HTTPEndpoint):
    """Give a host no boot any more; its record stays."""

    async def post(self, request: Request) -> Response:
        name = validate.host_name(request.path_params["name"])
        expected = incoming.precondition(request, creation=False)
        hosts = context.of(request).hosts
        live = await run_in_threadpool(hosts.get, name)
        if live is None:
            raise admin.absent(name)
        retired = dataclasses.replace(live.desired, retired=True)
        try:
            return admin.answer(await run_in_threadpool(hosts.put, retired, expected=expected))
        except store.Moved as moved:
            raise admin.moved(moved) from None


class History(HTTPEndpoint):
    """The boots that are kept, the newest first."""

    async def get(self, request: Request) -> Response:
        here, name = context.of(request), validate.host_name(request.path_params["name"])
        limit = incoming.number(request, "limit", default=store.KEPT_BOOTS, maximum=store.KEPT_BOOTS)
        await _state(request, name)
        boots = await run_in_threadpool(here.hosts.boots, name, limit)
        shown = explain.history(boots, now_ns=here.now_ns(), policy=here.settings.policy)
        return JSONResponse({"host": name, "boots": shown})


class Explain(HTTPEndpoint):
    """What stage1 would answer now, and why."""

    async def get(self, request: Request) -> Response:
        here, name = context.of(request), validate.host_name(request.path_params["name"])
        text = request.query_params.get("address", "")
        address = callers.parse(text)
        if text and address is None:
            raise errors.invalid("address", f"{text[:80]!r} is not an address")
        state = await _state(request, name)
        told = explain.host(state, address, here.settings.operations, now_ns=here.now_ns(), policy=here.settings.policy)
        return JSONResponse(told)


def routes() -> list[Route]:
    base = "/hosts/{name}"
    return [
        Route(f"{base}/next-boot", NextBoot),
        Route(f"{base}/retire", Retire),
        Route(f"{base}/history", History),
        Route(f"{base}/explain", Explain),
    ]


async def _state(request: Request, name: str) -> sessions.State:
    state = await run_in_threadpool(context.of(request).hosts.state, name)
    if state is None:
        raise admin.absent(name)
    return state


async def _observe(request: Request, change: Any) -> Response:
    name = validate.host_name(request.path_params["name"])

    def changed(state: sessions.State) -> sessions.State:
        observed = change(state.host.observed)
        return dataclasses.replace(state, host=dataclasses.replace(state.host, observed=observed))

    try:
        after = await context.of(request).writer.change(name, changed)
    except store.Absent:
        raise admin.absent(name) from None
    return admin.answer(after.host)


def _order(body: Any, now_ns: int) -> Any:
    """What a body asks for, as a function of the server's half."""
    if not isinstance(body, dict) or not set(body) <= set(_KEYS):
        raise errors.invalid("body", f"must be an object of {', '.join(_KEYS)}")
    sequence, version = body.get("sequence"), body.get("version", "")
    if sequence not in ("boot", "update"):
        raise errors.invalid("sequence", "must be boot or update")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise errors.invalid("version", "must be a release's name, or empty for the record's own")
    until_success = body.get("until_success", False)
    if not isinstance(until_success, bool) or (until_success and version):
        raise errors.invalid("until_success", "must be true or false; true goes with the record's own version")
    expires_in_s = body.get("expires_in_s", 86400)
    whole = isinstance(expires_in_s, int) and not isinstance(expires_in_s, bool)
    if not whole or not 1 <= expires_in_s <= MAX_EXPIRY_S:
        raise errors.invalid("expires_in_s", f"must be a whole number from 1 to {MAX_EXPIRY_S}")

    def change(seen: records.Observed) -> records.Observed:
        if until_success:
            return dataclasses.replace(seen, update_enabled=sequence == "update", next_boot=None)
        order = records.NextBoot(sequence, version, now_ns, now_ns + expires_in_s * 1_000_000_000)
        return dataclasses.replace(seen, next_boot=order)

    return change
