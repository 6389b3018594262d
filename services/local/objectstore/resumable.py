"""Resumable uploads: a session over several requests, which survives broken connections and restarts of either side.

What a 308 acknowledged is on disk, and a session goes on after a restart. As the service does, it keeps whole quanta
of 256 KiB of an unfinished upload, so that a client has to go on from what the answer names, not from what it sent. A
finished session answers its result again, so that a client that lost the last answer can ask; one whose end was
refused is gone. Conditions are judged when the session starts, to refuse early, and once more when it ends, which is
what counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from services.local.objectstore import contents, errors, object_rules, objects, preconditions, store
from services.local.objectstore.call import Call, answer, empty

CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", re.ASCII)
QUANTUM = 256 * 1024

_locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
"""One call at a time for each session."""


@dataclass(frozen=True, slots=True)
class Session:
    """A resumable upload; `request` holds what the object shall be, `result` the answer once it is."""

    id: str
    bucket: str
    request: Mapping[str, Any]
    file: str
    received: int
    result: str | None


async def start(call: Call) -> Response:
    body = await call.document()
    name = object_rules.check_name(body.get("name") or call.query.get("name"))
    object_rules.writable(body)
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


def _lock(call: Call) -> asyncio.Lock:
    return _locks.setdefault(call.query.get("upload_id", ""), asyncio.Lock())


async def proceed(call: Call) -> Response:
    """One chunk, or the question how far the session is (`bytes */N` or `bytes */*`)."""
    async with _lock(call):
        session = _session(call)
        if session.result is not None:
            return answer(json.loads(session.result))
        chunk = _chunk(call, session)
        received, ended = session.received, chunk is not None and chunk.total == session.received
        if chunk is not None and chunk.begin is not None:
            received, ended = await _append(call, session, chunk)
        if ended:
            return await _complete(call, session, received)
        headers = {"Range": f"bytes=0-{received - 1}"} if received else {}
        return Response(b"", 308, {**headers, "X-GUploader-UploadID": session.id})


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What a `Content-Range` says; `begin` is None for a question, `end` (exclusive) and `total` if not known."""

    begin: int | None
    end: int | None
    total: int | None


def _chunk(call: Call, session: Session) -> _Chunk:
    """The range of a call, checked against what is here; without a header the body is the whole content."""
    header = call.request.headers.get("content-range")
    if header is None:
        return _Chunk(0, None, None)
    match = CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise errors.invalid(f"Failed to parse Content-Range header: {header[:64]!r}")
    total = None if match.group(3) == "*" else int(match.group(3))
    begin, end = (int(match.group(1)), int(match.group(2)) + 1) if match.group(1) else (None, None)
    if begin is not None and end is not None and (begin >= end or (total is not None and end > total)):
        raise errors.invalid(f"Content-Range {header[:64]!r} contradicts itself")
    if total is not None and total < session.received:
        raise errors.invalid(f"Content-Range {header[:64]!r}: {session.received} bytes are here already")
    if begin is not None and begin > session.received:
        message = f"The chunk begins at {begin}, but {session.received} bytes are here"
        raise errors.ApiError(503, "backendError", message)
    return _Chunk(begin, end, total)


async def _append(call: Call, session: Session, chunk: _Chunk) -> tuple[int, bool]:
    """Write what is new of a chunk, sync it and note it, also if the client goes away in its middle.

    Returns how many bytes are here now, and whether they are all.
    """
    place, whole = chunk.begin or 0, True
    path = call.state.files / session.file
    with path.open("r+b" if path.exists() else "w+b") as handle:
        handle.truncate(session.received)
        handle.seek(session.received)
        try:
            async for piece in call.request.stream():
                if chunk.end is not None and place + len(piece) > chunk.end:
                    raise errors.invalid("The body is longer than its Content-Range says")
                handle.write(piece[max(0, session.received - place) :])
                place += len(piece)
        except ClientDisconnect:
            whole = False
        if whole and chunk.end is not None and place != chunk.end:
            raise errors.invalid("The body is shorter than its Content-Range says")
        received = max(place, session.received)
        ended = whole and (chunk.end is None or chunk.end == chunk.total)
        if not ended:
            received -= received % QUANTUM
        handle.flush()
        await asyncio.to_thread(os.fsync, handle.fileno())
    store.sync_directory(call.state.files)

    def work(transaction: store.Transaction) -> None:
        transaction.execute("UPDATE uploads SET received = ? WHERE id = ?", received, session.id)

    await call.state.write(work)
    return received, ended


async def _complete(call: Call, session: Session, received: int) -> Response:
    """Make the object and note the session's result, both in one write."""
    content = await asyncio.to_thread(contents.from_file, call.state.files, session.file, received)

    def finish(transaction: store.Transaction, made: dict[str, Any]) -> None:
        transaction.execute("UPDATE uploads SET result = ? WHERE id = ?", json.dumps(made), session.id)
        if content.file is None:
            transaction.forgotten_files.append(session.file)

    try:
        contents.check_header(content, call.request.headers.get("x-goog-hash", ""))
        conditions = preconditions.parse(session.request["query"])
        return await objects.insert(
            call, session.request["name"], session.request["body"], content, conditions, also=finish
        )
    except errors.ApiError:
        await call.state.write(lambda transaction: _forget(transaction, session))
        raise


def _forget(transaction: store.Transaction, session: Session) -> None:
    transaction.execute("DELETE FROM uploads WHERE id = ?", session.id)
    if session.result is None:
        transaction.forgotten_files.append(session.file)


async def cancel(call: Call) -> Response:
    """Give a session up; the object of a finished one stays."""
    async with _lock(call):
        session = _session(call)
        await call.state.write(lambda transaction: _forget(transaction, session))
    return empty(499)
