"""Batch requests: several calls in one `multipart/mixed` body, each answered in a part of its own.

Each call goes through the whole application, faults included, and succeeds or fails for itself.
"""

from __future__ import annotations

import email.parser
import email.policy
import http
import urllib.parse
import uuid
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

from services.local.objectstore import errors

MAX_CALLS = 1000


def _parts(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """(content id, embedded HTTP request) of each part."""
    head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\nMIME-Version: 1.0\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(head + body)
    if not message.is_multipart():
        raise errors.invalid("A batch request needs a multipart/mixed body")
    found = []
    for part in message.get_payload():
        if isinstance(part, str):
            continue
        content = part.get_payload(decode=True)
        found.append((str(part.get("Content-ID", "")), content if isinstance(content, bytes) else b""))
    if len(found) > MAX_CALLS:
        raise errors.invalid(f"A batch holds at most {MAX_CALLS} calls, got {len(found)}")
    return found


def _scope(outer: Scope, embedded: bytes) -> tuple[Scope, bytes]:
    head, _, body = embedded.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode("latin-1").splitlines() or [""]
    words = first.split(" ")
    if len(words) < 2:
        raise errors.invalid(f"Malformed call in a batch: {first[:64]!r}")
    target = urllib.parse.urlsplit(words[1])
    headers = [
        (key.strip().lower().encode("latin-1"), value.strip().encode("latin-1"))
        for key, _, value in (line.partition(":") for line in lines)
    ]
    scope = {
        **outer,
        "method": words[0].upper(),
        "path": urllib.parse.unquote(target.path),
        "raw_path": target.path.encode("latin-1"),
        "query_string": target.query.encode("latin-1"),
        "headers": headers,
    }
    return scope, body


async def _call(app: ASGIApp, scope: Scope, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], sent[0]["headers"], content


def handler(app: Callable[[], ASGIApp]) -> Callable[[Request], Awaitable[Response]]:
    """The batch call on top of the application that `app` returns."""

    async def batch(request: Request) -> Response:
        boundary = f"batch_{uuid.uuid4().hex}"
        out = bytearray()
        for content_id, embedded in _parts(request.headers.get("content-type", ""), await request.body()):
            scope, body = _scope(request.scope, embedded)
            status, headers, content = await _call(app(), scope, body)
            try:
                reason = http.HTTPStatus(status).phrase
            except ValueError:
                reason = "Unknown"
            out += f"--{boundary}\r\nContent-Type: application/http\r\n".encode()
            out += f"Content-ID: <response-{content_id.strip('<>')}>\r\n\r\nHTTP/1.1 {status} {reason}\r\n".encode()
            for key, value in headers:
                out += key + b": " + value + b"\r\n"
            out += b"\r\n" + content + b"\r\n"
        out += f"--{boundary}--\r\n".encode()
        return Response(bytes(out), 200, media_type=f"multipart/mixed; boundary={boundary}")

    return batch
