"""One request on its way through the handlers, and the server that it came to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.local.objectstore import errors, store

MAX_JSON_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Server:
    """What all handlers share. `base` is the address under which clients reach us."""

    state: store.Store
    base: str
    rewrite_bytes: int
    """How much one rewrite call copies before it answers with a token."""


@dataclass(frozen=True, slots=True)
class Call:
    """A routed request: `path` holds the unquoted parts of the address that the route names."""

    server: Server
    request: Request
    path: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def state(self) -> store.Store:
        return self.server.state

    async def document(self) -> dict[str, Any]:
        """The JSON object of the body; an empty body is an empty object."""
        received = bytearray()
        async for chunk in self.request.stream():
            received += chunk
            if len(received) > MAX_JSON_BYTES:
                raise errors.invalid(f"Request body is larger than {MAX_JSON_BYTES} bytes")
        return parse_document(bytes(received))


def parse_document(text: bytes) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        raise errors.ApiError(400, "parseError", "Parse Error: the body is not JSON") from None
    if not isinstance(value, dict):
        raise errors.ApiError(400, "parseError", "Parse Error: the body is not a JSON object")
    return value


def sub_document(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A field that is an object or absent, or 400."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise errors.invalid(f"Invalid argument: {key} must be an object", key)
    return value


def answer(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode(), status, dict(headers or {}), media_type="application/json; charset=UTF-8")


def empty(status: int = 204) -> Response:
    return Response(b"", status)


def flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() == "true"
