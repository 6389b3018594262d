"""The OpenAPI 3.1 document of the server, made from its routes: a path is in it because it is served.

Summaries are the handlers' own. What a route cannot know of itself, its statuses and its body, stands in one table:
a route without a row, or a row without a route, is an error of ours.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.routing import Route

from services.epoxy import admin, admin_boots, boot, extension, storage

_TEXT, _JSON = "text/plain", "application/json"
_FORM = "application/x-www-form-urlencoded"
_STRING = {"type": "string"}
_PATTERNS = {
    "hostname": r"^[A-Za-z0-9._-]{1,253}$",
    "name": r"^[a-z0-9.-]{1,253}$",
    "session": r"^[A-Za-z0-9_-]{27}$",
    "operation": r"^[a-z0-9_]{1,40}$",
    "scope": r"^[a-z0-9][a-z0-9._/-]{0,199}$",
    "file": r"^(snponly\.efi|autoexec\.ipxe)$",
    "path": r"^[A-Za-z0-9._~-]{1,100}$",
}
_CHAIN = {"type": "object", "properties": {"chain": _STRING, "chain_sha256": _STRING}, "additionalProperties": False}
_STAGE = {"type": "object", "required": ["v1"], "properties": {"v1": _CHAIN}, "additionalProperties": False}
_STAGE1 = {
    "type": "object",
    "required": ["kargs", "v1"],
    "properties": {"v1": _CHAIN, "kargs": {"type": "object", "additionalProperties": _STRING}},
}
_OBJECT = {"type": "object"}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "field"],
            "properties": {"code": _STRING, "message": _STRING, "field": {"type": ["string", "null"]}},
        }
    },
}


@dataclass(frozen=True, slots=True)
class Row:
    """What success is, which statuses a refusal may have, and what the body is."""

    success: int
    refusals: Sequence[int]
    media: str = ""
    schema: Mapping[str, Any] | None = None
    body: str = ""


_BOOT = (400, 403, 404, 413, 429, 500, 503)
_LATER = (400, 403, 404, 413, 500)
_READ = (401, 403, 404, 422, 503)
_WRITE = (400, 401, 403, 404, 409, 412, 413, 422, 428, 503)
ROWS: Mapping[tuple[str, str], Row] = {
    ("stage1_ipxe", "POST"): Row(200, _BOOT, _TEXT, _STRING, _FORM),
    ("stage1_json", "POST"): Row(200, _BOOT, _JSON, _STAGE1, _JSON),
    ("stage2", "POST"): Row(200, _LATER, _JSON, _STAGE),
    ("stage3", "POST"): Row(200, _LATER, _JSON, _STAGE),
    ("report", "POST"): Row(204, _LATER, body=_FORM),
    ("extension", "POST"): Row(200, (*_LATER, 502), body="*/*"),
    ("stored", "GET"): Row(200, (304, 400, 404, 416, 501, 502)),
    ("stored", "HEAD"): Row(200, (304, 400, 404, 416, 501, 502)),
    ("media", "GET"): Row(200, (304, 400, 404, 416, 500)),
    ("media", "HEAD"): Row(200, (304, 400, 404, 416, 500)),
    ("Hosts", "GET"): Row(200, _READ, _JSON, _OBJECT),
    ("Host", "GET"): Row(200, _READ, _JSON, _OBJECT),
    ("Host", "PUT"): Row(200, _WRITE, _JSON, _OBJECT, _JSON),
    ("Host", "DELETE"): Row(204, _WRITE),
    ("Lock", "GET"): Row(200, _READ, _JSON, _OBJECT),
    ("Lock", "PUT"): Row(200, _WRITE, _JSON, _OBJECT, _JSON),
    ("Lock", "PATCH"): Row(200, _WRITE, _JSON, _OBJECT, _JSON),
    ("Lock", "DELETE"): Row(204, _WRITE),
    ("NextBoot", "PUT"): Row(200, _WRITE, _JSON, _OBJECT, _JSON),
    ("NextBoot", "DELETE"): Row(200, _WRITE, _JSON, _OBJECT),
    ("Retire", "POST"): Row(200, _WRITE, _JSON, _OBJECT),
    ("History", "GET"): Row(200, _READ, _JSON, _OBJECT),
    ("Explain", "GET"): Row(200, _READ, _JSON, _OBJECT),
}
_QUERIES = {
    ("Hosts", "GET"): ("limit", "after"),
    ("History", "GET"): ("limit",),
    ("Explain", "GET"): ("address",),
    ("Lock", "DELETE"): ("identity",),
}
_PRECONDITIONS = {("Host", "PUT"), ("Host", "DELETE"), ("Retire", "POST")}


def document() -> dict[str, Any]:
    """The whole of it. Raises KeyError where a route has no row."""
    paths: dict[str, Any] = {}
    for path, name, method, text in served():
        paths.setdefault(path, {})[method.lower()] = _operation(path, name, method, text)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ePoxy boot server", "version": "1"},
        "paths": paths,
        "components": {"securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}}},
    }


def served() -> Iterator[tuple[str, str, str, str]]:
    """Path, handler, method and summary of everything that is served."""
    for prefix, routes in (
        ("", [*boot.routes(), *extension.routes(), *storage.routes()]),
        ("/admin/v1", [*admin_boots.routes(), *admin.routes()]),
    ):
        for route in routes:
            path = prefix + re.sub(r":path\}", "}", route.path)
            for method, text in _methods(route):
                yield path, route.endpoint.__name__, method, text


def _methods(route: Route) -> Iterator[tuple[str, str]]:
    if inspect.isclass(route.endpoint):
        for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
            if hasattr(route.endpoint, method.lower()):
                yield method, f"{method} · {_first(route.endpoint)}"
        return
    for method in sorted(route.methods or ()):
        yield method, _first(route.endpoint)


def _first(handler: Any) -> str:
    return (inspect.getdoc(handler) or handler.__name__).splitlines()[0]


def _operation(path: str, name: str, method: str, text: str) -> dict[str, Any]:
    row, administration = ROWS[name, method], path.startswith("/admin/")
    made: dict[str, Any] = {
        "summary": text,
        "operationId": f"{method.lower()}_{name.lower()}",
        "parameters": [
            {"name": key, "in": "path", "required": True, "schema": {"type": "string", "pattern": _PATTERNS[key]}}
            for key in re.findall(r"\{(\w+)\}", path)
        ],
        "responses": {str(row.success): _success(row), **{str(status): _refusal(path) for status in row.refusals}},
    }
    if (name, method) == ("Host", "PUT"):
        made["responses"]["201"] = _success(row)
    made["parameters"] += [{"name": key, "in": "query", "schema": _STRING} for key in _QUERIES.get((name, method), ())]
    if (name, method) in _PRECONDITIONS:
        made["parameters"].append({"name": "If-Match", "in": "header", "schema": {"type": "string"}})
    if row.body:
        schema = _OBJECT if row.body in (_FORM, _JSON) else {}
        made["requestBody"] = {"required": administration, "content": {row.body: {"schema": schema}}}
    if administration:
        made["security"] = [{"admin": []}]
    return made


def _success(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"description": "Done."}
    if row.media:
        found["content"] = {row.media: {"schema": row.schema}}
    return found


def _refusal(path: str) -> dict[str, Any]:
    if path.startswith("/admin/"):
        return {"description": "Refused.", "content": {_JSON: {"schema": _ERROR}}}
    return {"description": "Refused, one line of text."}
