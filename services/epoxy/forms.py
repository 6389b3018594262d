"""What machines send: forms with limits, the facts kept of a machine, and its reports without secrets."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import parse_qsl

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from services.epoxy import incoming, sessions

MAX_FORM_BYTES = 256 * 1024
MAX_FIELDS = 100
MAX_VALUE = 2048
COLLECTED = frozenset(
    (
        *("platform", "buildarch", "serial", "asset", "uuid", "manufacturer", "product", "chip", "mac", "ip"),
        *("version", "public_ssh_host_key"),
    )
)
DETAILS = {"stage.times": 2048, "log.tail": 8192}
"""Fields of a report that are kept in the history, and how many characters of each."""

Fields = Sequence[tuple[str, str]]
_BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SECRETS = re.compile(
    r"[A-Za-z0-9_-]{27,}"  # session ids, and anything as long
    r"|\b[a-z0-9]{6}\.[a-z0-9]{16}\b"  # bootstrap tokens
    r"|(?<=[?&])[^\s\"'<>]+"  # queries: one of them carries a password
)


async def drain(request: Request) -> None:
    """Read and forget a body that says nothing, within the limit."""
    await incoming.read_body(request, MAX_FORM_BYTES)


async def read(request: Request, *, multipart: bool = True) -> Fields:
    """The fields of the body, in order; none where it is no form, as the original has it."""
    body = await incoming.read_body(request, MAX_FORM_BYTES)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(body)
    if kind == "multipart/form-data" and multipart:
        return await _multipart(request, body)
    return ()


def collected(fields: Fields) -> dict[str, str]:
    """Facts of a machine: known keys, values trimmed, those of a repeated key joined by a space."""
    found: dict[str, list[str]] = {}
    for key, value in fields:
        if key in COLLECTED and value.strip() and _is_text(value):
            found.setdefault(key, []).append(value.strip())
    return {key: " ".join(values)[:MAX_VALUE] for key, values in found.items()}


def report(fields: Fields, at_ns: int) -> sessions.Report:
    """A report as it is kept. `debug.config` is not: it holds every secret URL of the boot."""
    told: Mapping[str, str] = dict(reversed(fields))  # the first of each counts
    message = told.get("message", "")
    details = {key: told[key] for key in ("boot_id",) if _BOOT_ID.fullmatch(told.get(key, ""))}
    details |= {key: without_secrets(told[key][:limit]) for key, limit in DETAILS.items() if key in told}
    return sessions.Report(at_ns, message if message == "success" else without_secrets(message[:MAX_VALUE]), details)


def without_secrets(text: str) -> str:
    """The text without what could be a session id, a token or a query, and without control characters."""
    visible = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
    return _SECRETS.sub("[removed]", visible)


def _urlencoded(body: bytes) -> Fields:
    text = body.decode("utf-8", "surrogateescape")
    try:
        return parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=MAX_FIELDS)
    except ValueError:
        return ()


async def _multipart(request: Request, body: bytes) -> Fields:
    async def once() -> AsyncIterator[bytes]:
        yield body
        yield b""

    try:
        parser = MultiPartParser(request.headers, once(), max_files=0, max_fields=MAX_FIELDS)  # type: ignore[arg-type]
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError):
        return ()
    return [(key, value) for key, value in form.multi_items() if isinstance(value, str)]


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
