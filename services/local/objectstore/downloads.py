"""Reading contents: whole, by range, and decompressed for clients that do not take gzip.

`X-Goog-Hash` is of the stored bytes, which is what the official client verifies.
"""

from __future__ import annotations

import email.utils
import re
import zlib
from collections.abc import AsyncIterator, Iterator

from starlette.responses import Response, StreamingResponse

from services.local.objectstore import contents, errors, iam, objects, preconditions, store
from services.local.objectstore.call import Call

TRIES = 10
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of a satisfiable single range; None for the whole; 416 if nothing is in it."""
    match = RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise errors.ApiError(416, "requestedRangeNotSatisfiable", "The requested range cannot be satisfied.")
    return start, end


def _open(call: Call, name: str) -> tuple[objects.Stored, contents.Source]:
    generation = preconditions.number(call.query, "generation")
    for _ in range(TRIES):
        stored = objects.demand(call.state.reader, call.path["bucket"], name, generation)
        source = contents.open_content(call.state, stored.content, stored.size)
        if source is not None:
            return stored, source
        # Replaced between the two statements: the next round sees what replaced it.
    raise errors.ApiError(500, "internalError", f"The content of {call.path['bucket']}/{name} is not there.")


def _headers(stored: objects.Stored) -> dict[str, str]:
    doc = stored.doc
    hashes = [f"crc32c={doc['crc32c']}"] + ([f"md5={doc['md5Hash']}"] if "md5Hash" in doc else [])
    headers = {
        "ETag": f'"{objects.etag(stored)}"',
        "Last-Modified": email.utils.formatdate(store.seconds(doc["updated"]), usegmt=True),
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Hash": ",".join(hashes),
        "X-Goog-Storage-Class": doc["storageClass"],
        "X-Goog-Stored-Content-Encoding": doc.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": str(stored.size),
        "Accept-Ranges": "bytes",
        # Here and not as the response's media type, which would be given a charset that nobody stored.
        "Content-Type": doc.get("contentType", "application/octet-stream"),
        "Cache-Control": doc.get("cacheControl", "private, max-age=0"),
    }
    for field, header in (("contentDisposition", "Content-Disposition"), ("contentLanguage", "Content-Language")):
        if field in doc:
            headers[header] = doc[field]
    return headers


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Inflate; several members one after the other are one content, as gzip defines it."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for chunk in chunks:
        yield inflater.decompress(chunk)
        while inflater.eof and inflater.unused_data:
            rest, inflater = inflater.unused_data, zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield inflater.decompress(rest)
    yield inflater.flush()


async def _stream(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def media(call: Call) -> Response:
    return _send(call, call.path["object"])


async def public(call: Call) -> Response:
    """`GET /BUCKET/OBJECT`: without credentials only what allUsers may read."""
    if "authorization" not in call.request.headers and not iam.publicly_readable(call, call.path["bucket"]):
        message = "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object."
        raise errors.ApiError(403, "forbidden", message)
    return _send(call, call.path["object"])


def _send(call: Call, name: str) -> Response:
    stored, source = _open(call, name)
    try:
        preconditions.parse(call.query).check_read(stored.generation, stored.metageneration)
        objects.check_etags(call, stored)
        headers, encoding = _headers(stored), stored.doc.get("contentEncoding")
        if encoding == "gzip" and "gzip" not in call.request.headers.get("accept-encoding", ""):
            headers["Warning"] = "214 UploadServer gunzipped"
            return StreamingResponse(_stream(_gunzip(source.chunks(0, stored.size))), 200, headers)
        if encoding:
            headers["Content-Encoding"] = encoding
        try:
            asked = byte_range(call.request.headers.get("range"), stored.size)
        except errors.ApiError as error:
            return errors.response(error, {"Content-Range": f"bytes */{stored.size}"})
    except BaseException:
        if source.handle is not None:
            source.handle.close()
        raise
    start, end = asked or (0, stored.size)
    headers["Content-Length"] = str(end - start)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    status = 206 if asked else 200
    if source.handle is None:
        return Response(b"".join(source.chunks(start, end)), status, headers)
    return StreamingResponse(_stream(source.chunks(start, end)), status, headers)
