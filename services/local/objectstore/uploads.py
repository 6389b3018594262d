"""Uploads: media, multipart and resumable.

A resumable session is durable: what a 308 acknowledged is on disk, and a session goes on after a restart. A finished
session answers its result again, so that a client that lost the last answer can ask. Conditions are judged when the
session starts, to refuse early, and once more when it ends, which is what counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from services.local.objectstore import buckets, contents, errors, objects, preconditions, store
from services.local.objectstore.call import MAX_JSON_BYTES, Call, answer, empty, parse_document

CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
BOUNDARY = re.compile(r'boundary="?([^";]+)"?')

_locks: dict[str, asyncio.Lock] = {}


async def start(call: Call) -> Response:
    kind = call.query.get("uploadType", "")
    buckets.find(call.state.reader, call.path["bucket"])
    if kind == "media":
        return await _media(call)
    if kind == "multipart":
        return await _multipart(call)
    if kind == "resumable":
        return await _resumable(call)
    raise errors.invalid(f"Invalid uploadType: {kind[:64]!r}", "uploadType")


async def _media(call: Call) -> Response:
    body: dict[str, Any] = {}
    if call.request.headers.get("content-type"):
        body["contentType"] = call.request.headers["content-type"]
    if call.query.get("contentEncoding"):
        body["contentEncoding"] = call.query["contentEncoding"]
    name = objects.check_name(call.query.get("name"))
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
    _check_hash_header(call, content)
    return objects.reply(call, await objects.insert(call, name, body, content, preconditions.parse(call.query)))


def _check_hash_header(call: Call, content: contents.Content) -> None:
    for part in call.request.headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        actual = {"crc32c": content.crc32c, "md5": content.md5}.get(kind)
        if actual is not None and value != actual:
            raise errors.invalid(f"Provided {kind} in X-Goog-Hash doesn't match calculated {kind} {actual}.")


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
        name = objects.check_name(document.get("name") or call.query.get("name"))
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


@dataclass(frozen=True, slots=True)
class Session:
    """A resumable upload; `request` holds what the object shall be, `result` the answer once it is."""

    id: str
    bucket: str
    request: Mapping[str, Any]
    file: str
    received: int
    result: str | None


async def _resumable(call: Call) -> Response:
    body = await call.document()
    name = objects.check_name(body.get("name") or call.query.get("name"))
    objects.writable(body)
    if "contentType" not in body and call.request.headers.get("x-upload-content-type"):
        body["contentType"] = call.request.headers["x-upload-content-type"]
    before = objects.find(call.state.reader, call.path["bucket"], name)
    conditions = preconditions.parse(call.query)
    conditions.check_write(before.generation if before else 0, before.metageneration if before else 0)
    number, file = uuid.uuid4().hex, f"upload-{uuid.uuid4().hex}"
    query = {key: value for key, value in call.query.items() if key.startswith("if")}
    request = json.dumps({"name": name, "body": body, "query": query})

    def work(transaction: store.Transaction) -> None:
        transaction.execute(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, 0, NULL)", number, call.path["bucket"], request, file
        )

    await call.state.write(work)
    location = f"{call.server.base}/upload/storage/v1/b/{call.path['bucket']}/o?uploadType=resumable&upload_id={number}"
    return Response(b"", 200, {"Location": location, "X-GUploader-UploadID": number})


def _session(call: Call) -> Session:
    number = call.query.get("upload_id", "")
    row = call.state.reader.execute(
        "SELECT id, bucket, request, file, received, result FROM uploads WHERE id = ?", (number,)
    ).fetchone()
    if row is None or row[1] != call.path["bucket"]:
        raise errors.ApiError(404, "notFound", "No such upload session; start a new one")
    return Session(row[0], row[1], json.loads(row[2]), row[3], row[4], row[5])


async def proceed(call: Call) -> Response:
    """One chunk, or the question how far the session is (`bytes */N` or `bytes */*`)."""
    lock = _locks.setdefault(call.query.get("upload_id", ""), asyncio.Lock())
    async with lock:
        return await _proceed(call, _session(call))


async def _proceed(call: Call, session: Session) -> Response:
    if session.result is not None:
        return answer(json.loads(session.result))
    header = call.request.headers.get("content-range")
    match = CONTENT_RANGE.fullmatch(header.strip()) if header else None
    if header and match is None:
        raise errors.invalid(f"Failed to parse Content-Range header: {header[:64]!r}")
    total = None if match is None or match.group(3) == "*" else int(match.group(3))
    begins = int(match.group(1)) if match and match.group(1) else (None if match else 0)
    received, complete = session.received, False
    if begins is not None:
        if begins > received:
            raise errors.ApiError(503, "backendError", f"The chunk begins at {begins}, but {received} bytes are here")
        received, complete = await _append(call, session, begins)
    if match is None and complete:
        total = received
    if total is not None and received == total and (complete or begins is None):
        return await _complete(call, session)
    headers = {"Range": f"bytes=0-{received - 1}"} if received else {}
    return Response(b"", 308, {**headers, "X-GUploader-UploadID": session.id})


async def _append(call: Call, session: Session, begins: int) -> tuple[int, bool]:
    """Write what is new of a chunk, sync it and note it; also if the client goes away in its middle."""
    place, complete = begins, True
    path = call.state.files / session.file
    with path.open("r+b" if path.exists() else "w+b") as handle:
        handle.truncate(session.received)
        handle.seek(session.received)
        try:
            async for chunk in call.request.stream():
                fresh = chunk[max(0, session.received - place) :]
                handle.write(fresh)
                place += len(chunk)
        except ClientDisconnect:
            complete = False
        received = max(place, session.received)
        handle.flush()
        await asyncio.to_thread(os.fsync, handle.fileno())
    store.sync_directory(call.state.files)

    def work(transaction: store.Transaction) -> None:
        transaction.execute("UPDATE uploads SET received = ? WHERE id = ?", received, session.id)

    await call.state.write(work)
    return received, complete


async def _complete(call: Call, session: Session) -> Response:
    path = call.state.files / session.file
    if not path.exists():
        path.touch()
    content = await asyncio.to_thread(contents.from_file, call.state.files, session.file)
    _check_hash_header(call, content)
    body, conditions = session.request["body"], preconditions.parse(session.request["query"])
    stored = await objects.insert(call, session.request["name"], body, content, conditions)
    response = objects.reply(call, stored)

    def work(transaction: store.Transaction) -> None:
        text = bytes(response.body).decode()
        transaction.execute("UPDATE uploads SET result = ? WHERE id = ?", text, session.id)
        if content.file is None:
            transaction.forgotten_files.append(session.file)

    await call.state.write(work)
    return response


async def cancel(call: Call) -> Response:
    session = _session(call)

    def work(transaction: store.Transaction) -> None:
        transaction.execute("DELETE FROM uploads WHERE id = ?", session.id)
        if session.result is None:
            transaction.forgotten_files.append(session.file)

    await call.state.write(work)
    _locks.pop(session.id, None)
    return empty(499)
