"""What a client sent, read with limits: the body as JSON, and the preconditions of a write."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.requests import ClientDisconnect, Request

from services.epoxy import errors

MAX_BODY_BYTES = 64 * 1024
_ETAG = re.compile(r'"(\d{1,18})"')


async def read_json(request: Request) -> Any:
    """The body. Raises 413 above 64 KiB, 400 for what is not one JSON value in UTF-8 with distinct keys."""
    body = await read_body(request, MAX_BODY_BYTES)
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except RecursionError:
        raise errors.ApiError(400, "body.json", "the body is nested too deeply") from None
    except ValueError as error:
        raise errors.ApiError(400, "body.json", f"the body is not JSON: {str(error)[:160]}") from None


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body. Raises 413 above the limit, 400 where the connection ends within it."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:18]) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise _too_large(limit_bytes)
    except ClientDisconnect:
        raise errors.ApiError(400, "body.incomplete", "the connection ended within the body") from None
    return bytes(body)


def precondition(request: Request, *, creation: bool) -> int | None:
    """The revision that a write expects, None for "absent" (`If-None-Match: *`, where `creation` is possible).

    Raises 428 where there is no precondition: a blind write could undo another's.
    """
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if (match is None and none_match is None) or match == "*":
        choices = "If-Match with the etag that you saw" + (", or If-None-Match: * to create" if creation else "")
        raise errors.ApiError(428, "precondition.missing", f"send {choices}", field="If-Match")
    if none_match is not None:
        if match is not None or none_match != "*" or not creation:
            raise errors.ApiError(
                422,
                "precondition.invalid",
                "If-None-Match may only be * on a PUT without If-Match",
                field="If-None-Match",
            )
        return None
    found = _ETAG.fullmatch(match or "")
    if found is None:
        raise errors.ApiError(422, "precondition.invalid", "If-Match must be one etag of ours", field="If-Match")
    return int(found[1])


def number(request: Request, name: str, *, default: int, maximum: int) -> int:
    """A whole number of the query from 1 to `maximum`."""
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= maximum:
        raise errors.invalid(name, f"{text[:80]!r} must be a whole number from 1 to {maximum}")
    return int(text)


def _too_large(limit_bytes: int) -> errors.ApiError:
    return errors.ApiError(
        413, "body.too-large", f"the body exceeds {limit_bytes} bytes", headers={"Connection": "close"}
    )


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
