"""Uploads in one request: media and multipart. What goes on over several requests is in `resumable`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from services.local.objectstore import buckets, contents, errors, object_rules, objects, preconditions, resumable
from services.local.objectstore.call import MAX_JSON_BYTES, Call, parse_document

BOUNDARY = re.compile(r'boundary="?([^";]+)"?')


async def start(call: Call) -> Response:
    kind = call.query.get("uploadType", "")
    buckets.find(call.state.reader, call.path["bucket"])
    if kind == "media":
        return await _media(call)
    if kind == "multipart":
        return await _multipart(call)
    if kind == "resumable":
        return await resumable.start(call)
    raise errors.invalid(f"Invalid uploadType: {kind[:64]!r}", "uploadType")


async def _media(call: Call) -> Response:
    body: dict[str, Any] = {}
    if call.request.headers.get("content-type"):
        body["contentType"] = call.request.headers["content-type"]
    if call.query.get("contentEncoding"):
        body["contentEncoding"] = call.query["contentEncoding"]
    name = object_rules.check_name(call.query.get("name"))
    sink = contents.Sink(call.state.files)
    try:
        async for chunk in call.request.stream():
            sink.write(chunk)
        return await _finish(call, name, body, sink)
    except Exception:
        sink.discard()
        raise


async def _finish(call: Call, name: str, body: Mapping[str, Any], sink: contents.Sink) -> Response:
    content = await sink.finish()
    contents.check_header(content, call.request.headers.get("x-goog-hash", ""))
    return await objects.insert(call, name, body, content, preconditions.parse(call.query))


def _part(buffer: bytes, boundary: bytes) -> tuple[dict[str, str], bytes] | None:
    """Headers of the part at the start of `buffer` and what follows them; None while they are not all there."""
    begin = buffer.find(b"--" + boundary)
    if begin < 0:
        return None
    line_end = buffer.find(b"\n", begin)
    head_end = re.search(rb"\r?\n\r?\n", buffer[line_end - 1 :]) if line_end >= 0 else None
    if head_end is None:
        return None
    head = buffer[line_end : line_end - 1 + head_end.start()]
    headers = {}
    for line in head.decode("latin-1").splitlines():
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    return headers, buffer[line_end - 1 + head_end.end() :]


async def _multipart(call: Call) -> Response:
    """`multipart/related`: JSON first, content second. The content is not held in memory."""
    match = BOUNDARY.search(call.request.headers.get("content-type", ""))
    if match is None:
        raise errors.invalid("A multipart upload needs a boundary in its Content-Type")
    boundary = match.group(1).encode()
    end = b"\r\n--" + boundary + b"--"
    sink = contents.Sink(call.state.files)
    buffer, body, headers = b"", None, None
    try:
        async for chunk in call.request.stream():
            buffer += chunk
            if headers is None:
                body, headers, buffer = _heads(buffer, boundary)
            if headers is not None and len(buffer) > len(end) + 4:
                # The tail may be the closing boundary: it stays until the last chunk is here.
                keep = len(end) + 4
                sink.write(buffer[:-keep])
                buffer = buffer[-keep:]
            elif headers is None and len(buffer) > MAX_JSON_BYTES:
                raise errors.invalid("The metadata part of the multipart body is too large")
        cut = buffer.rfind(end)
        if body is None or headers is None or cut < 0:
            raise errors.invalid("Malformed multipart body: a part or the closing boundary is missing")
        sink.write(buffer[:cut])
        document = parse_document(body)
        if "contentType" not in document and headers.get("content-type"):
            document["contentType"] = headers["content-type"]
        name = object_rules.check_name(document.get("name") or call.query.get("name"))
        return await _finish(call, name, document, sink)
    except Exception:
        sink.discard()
        raise


def _heads(buffer: bytes, boundary: bytes) -> tuple[bytes | None, dict[str, str] | None, bytes]:
    """The JSON part and the headers of the content part, once both are in the buffer; then what follows."""
    first = _part(buffer, boundary)
    if first is None:
        return None, None, buffer
    cut = first[1].find(b"\r\n--" + boundary)
    second = _part(first[1][cut:], boundary) if cut >= 0 else None
    if second is None:
        return None, None, buffer
    return first[1][:cut], second[0], second[1]
