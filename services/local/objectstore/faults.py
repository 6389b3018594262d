"""Failures on demand: what a network and a busy service do to a client, in front of the real handlers.

A fault is `{"match": {...}, <effect>, "times": n, "skip": n}`; `times` defaults to 1, -1 is for ever, and `skip`
lets so many matching calls pass first. Match keys, all optional: `method`, `path` (a regular expression searched in
the unquoted path and query), `bucket`, `object`. Effects, of which one is given:

- `"status": 503` (with `"retry_after": 2`, `"reason": "..."`, `"body": "rubbish"`): answer so; nothing is done.
- `"after_write": true` (with `"status"`): carry the call out, then lose the answer, or answer with the status.
- `"slow_bps": n`: answer at n bytes a second. `"delay_s": x`: answer late.
- `"truncate": n`: send n bytes of the body, then cut the connection.
- `"drop": true`: cut the connection before anything is done.

A power cut is asked for by `crash`.
"""

from __future__ import annotations

import asyncio
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.local.objectstore import errors, store
from services.local.objectstore.call import Call, answer, empty, sub_document

EFFECTS = ("status", "after_write", "slow_bps", "delay_s", "truncate", "drop")
MATCHED = ("method", "path", "bucket", "object")
KINDS: Mapping[str, Any] = {
    "match": dict,
    "times": int,
    "skip": int,
    "status": int,
    "retry_after": int | str,
    "reason": str,
    "body": str,
    "after_write": bool,
    "slow_bps": int | float,
    "delay_s": int | float,
    "truncate": int,
    "drop": bool,
}
CONTROL = ("/_control", "/healthz")
ADDRESSED = re.compile(r"/b/(?P<bucket>[^/?]+)(?:/o/(?P<object>[^/?]+))?")


@dataclass(slots=True)
class Fault:
    number: int
    effect: Mapping[str, Any]
    times: int
    skip: int
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        wanted: Mapping[str, str] = self.effect.get("match") or {}
        found = ADDRESSED.search(path)
        place = {key: urllib.parse.unquote(value or "") for key, value in (found.groupdict() if found else {}).items()}
        if "method" in wanted and wanted["method"].upper() != method:
            return False
        if "path" in wanted and not re.search(wanted["path"], urllib.parse.unquote(path)):
            return False
        return all(place.get(key) == wanted[key] for key in ("bucket", "object") if key in wanted)


@dataclass(slots=True)
class Faults:
    """The faults that are set, and the ASGI layer that plays them."""

    app: ASGIApp
    active: list[Fault] = field(default_factory=list)
    counter: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.active or scope["path"].startswith(CONTROL):
            await self.app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        fault = self._take(scope["method"], scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""))
        if fault is None:
            await self.app(scope, receive, send)
        else:
            await self._play(fault.effect, scope, receive, send)

    def _take(self, method: str, path: str) -> Fault | None:
        for fault in self.active:
            if fault.times == 0 or not fault.matches(method, path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1 if fault.times > 0 else 0
            fault.hits += 1
            return fault
        return None

    async def _play(self, effect: Mapping[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        if effect.get("drop"):
            await _cut(send)
        elif effect.get("after_write"):
            await self.app(scope, receive, _discard)
            if "status" in effect:
                await _refusal(effect)(scope, receive, send)
            else:
                await _cut(send)
        elif "status" in effect:
            await _drain(receive)
            await _refusal(effect)(scope, receive, send)
        else:
            await asyncio.sleep(float(effect.get("delay_s", 0)))
            await self.app(scope, receive, _throttled(effect, send))


async def _discard(message: Message) -> None:
    del message


async def _drain(receive: Receive) -> None:
    """Read the body first, as a service would: else the client sees a broken pipe in place of the answer."""
    while (message := await receive())["type"] == "http.request":
        if not message.get("more_body"):
            return


async def _cut(send: Send) -> None:
    """Promise a body and end: the server closes the connection, the client sees it torn."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000000")]})


def _refusal(effect: Mapping[str, Any]) -> Response:
    status = int(effect["status"])
    headers = {"Retry-After": str(effect["retry_after"])} if "retry_after" in effect else {}
    if "body" in effect:
        return Response(str(effect["body"]).encode(), status, headers, media_type="text/html")
    reason = str(effect.get("reason", "rateLimitExceeded" if status == 429 else "backendError"))
    return errors.response(errors.ApiError(status, reason, f"injected fault {status}"), headers)


def _throttled(effect: Mapping[str, Any], send: Send) -> Send:
    left = int(effect["truncate"]) if "truncate" in effect else None
    rate = float(effect.get("slow_bps", 0))

    async def forward(message: Message) -> None:
        nonlocal left
        if message["type"] != "http.response.body":
            await send(message)
            return
        body: bytes = message.get("body", b"")
        if left is not None:
            body, left = body[:left], left - len(body[:left])
            await send({"type": "http.response.body", "body": body, "more_body": True})
            return
        step = max(1, int(rate / 10)) if rate else max(1, len(body))
        for place in range(0, max(1, len(body)), step):
            if rate:
                await asyncio.sleep(len(body[place : place + step]) / rate)
            await send({"type": "http.response.body", "body": body[place : place + step], "more_body": True})
        if not message.get("more_body"):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return forward


def _check(body: Mapping[str, Any]) -> None:
    """400 unless this is a fault that can be played."""
    if not any(key in body for key in EFFECTS):
        raise errors.invalid(f"A fault needs one of {', '.join(EFFECTS)}")
    if unknown := body.keys() - KINDS.keys():
        raise errors.invalid(f"A fault has no {', '.join(sorted(unknown))}")
    for key, value in body.items():
        if not isinstance(value, KINDS[key]) or (isinstance(value, bool) and KINDS[key] is not bool):
            raise errors.invalid(f"Invalid value for {key}: {str(value)[:64]!r}", key)
    match = sub_document(body, "match")
    if match.keys() - set(MATCHED) or not all(isinstance(value, str) for value in match.values()):
        raise errors.invalid(f"A match is made of {', '.join(MATCHED)}, each a text", "match")
    try:
        re.compile(match.get("path", ""))
    except re.error as error:
        raise errors.invalid(f"Invalid match.path: {error}") from None


async def add(call: Call, faults: Faults) -> Response:
    body = await call.document()
    _check(body)
    faults.counter += 1
    fault = Fault(faults.counter, body, body.get("times", 1), body.get("skip", 0))
    faults.active.append(fault)
    return answer({"id": fault.number})


async def crash(call: Call) -> Response:
    """`POST /_control/crash {"commits": n, "moment": "before" | "after"}`: a power cut at a commit.

    So many commits pass; the process is killed before the next one, or after it and before its answers.
    """
    body = await call.document()
    moment, commits = body.get("moment", "after"), body.get("commits", 0)
    if moment not in ("before", "after") or not isinstance(commits, int):
        raise errors.invalid("A crash is before or after the next commit but so many")
    call.state.crash = store.Crash(moment, commits)
    return empty()


async def show(call: Call, faults: Faults) -> Response:
    del call
    now = [{**f.effect, "id": f.number, "hits": f.hits, "times": f.times, "skip": f.skip} for f in faults.active]
    return answer({"faults": now})


async def clear(call: Call, faults: Faults) -> Response:
    del call
    faults.active.clear()
    return empty()
