"""The bucket of the images behind this server's own certificate, because iPXE trusts no other; and boot media.

Only GET and HEAD. HEAD is an addition: UEFI firmware asks it before it downloads. The prefix is an http or https URL,
or a folder as `file:///path`. Names are checked before anything is opened, and a redirect of the bucket is never
handed on: iPXE would follow it to a host whose certificate it does not trust.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from node.boot import stage1
from services.epoxy import context, manifests, objects, plain, sessions, store

SCRIPT = "autoexec.ipxe"
MEDIA = ("snponly.efi", SCRIPT)
CHUNK_BYTES = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
_ASK_HEADERS = ("range", "if-range", "if-none-match", "if-modified-since", "user-agent")
_ANSWER_HEADERS = (
    *("content-type", "content-length", "content-range", "content-encoding", "accept-ranges"),
    *("etag", "last-modified", "cache-control"),
)
_hashes: dict[tuple[str, int, int, int], str] = {}
"""SHA-256 of local files in one state, so that each is read once for it."""


@plain.refusing("storage")
async def stored(request: Request) -> Response:
    """One object below the prefix; with manifest keys only as its folder's manifest says."""
    here = context.of(request)
    name = objects.checked(request.scope["raw_path"].decode("ascii", "replace").removeprefix(manifests.PROXY))
    prefix = here.settings.storage
    if not prefix.url:
        raise sessions.Refused("storage-off", "StoragePrefixURL is not specified", status=501)
    if name is None:
        raise plain.not_found()
    try:
        expected = await here.images.file(here.http(), name) if here.images.required else None
        if prefix.folder is not None:
            return await asyncio.to_thread(_file, prefix.folder, name, expected)
        return await _proxied(request, here, name, expected)
    except manifests.Untrusted:
        raise sessions.Refused("image-untrusted", plain.NOT_FOUND, status=404) from None
    except objects.Unreachable:
        return Response(status_code=502)


@plain.refusing("media")
async def media(request: Request) -> Response:
    """What a machine's firmware starts. There is no secret in it, so whoever asks may have it."""
    here, host = context.of(request), plain.host_name(request)
    folder, name = here.settings.media, request.path_params["file"]
    if name not in MEDIA:
        raise plain.not_found()
    if await asyncio.to_thread(here.hosts.get, host) is None:
        raise store.Absent(host)
    if folder is not None:
        for candidate in (f"{host}/{name}", name):
            if await asyncio.to_thread(objects.in_folder, folder, candidate):
                return await asyncio.to_thread(_file, folder, candidate, None)
    if name != SCRIPT:
        raise plain.not_found()
    return _script(host, here.settings)


def _script(host: str, settings: context.Settings) -> Response:
    """The script of a host for which nobody made one: it asks this server, on the network that the firmware set up."""
    public = settings.public_host.partition(":")[0]
    machine = stage1.Machine(host, host.split(".")[1] if host.count(".") > 1 else "", None)
    try:
        text = stage1.autoexec(machine, f"https://{public}:{settings.rom_port}")
    except ValueError:  # a name without a project in it
        raise plain.not_found() from None
    return Response(text, media_type="text/plain")


def routes() -> list[Route]:
    return [
        Route("/v1/storage/{path:path}", stored, methods=["GET", "HEAD"]),
        Route("/v1/media/{hostname}/{file}", media, methods=["GET", "HEAD"]),
    ]


def _file(folder: Path, name: str, expected: manifests.File | None) -> Response:
    path = objects.in_folder(folder, name)
    if path is None:
        raise plain.not_found()
    status = path.stat()
    if expected is not None:
        state = (str(path), status.st_mtime_ns, status.st_size, status.st_ino)
        if state not in _hashes:
            if len(_hashes) > 1000:
                _hashes.clear()
            with path.open("rb") as file:
                _hashes[state] = hashlib.file_digest(file, "sha256").hexdigest()
        if (status.st_size, _hashes[state]) != (expected.size_bytes, expected.sha256):
            raise sessions.Refused("image-tampered", plain.NOT_FOUND, status=404)
    return FileResponse(path, media_type="application/octet-stream", stat_result=status)


async def _proxied(request: Request, here: context.Context, name: str, expected: manifests.File | None) -> Response:
    prefix = here.settings.storage
    headers = {key: request.headers[key] for key in _ASK_HEADERS if key in request.headers}
    headers |= await prefix.credentials()
    headers["accept-encoding"] = "identity"
    if request.client:
        headers["x-forwarded-for"] = request.client.host
    try:
        answer = await here.http().request(
            request.method, prefix.of(name), headers=headers, timeout=_TIMEOUT, allow_redirects=False
        )
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Response(status_code=502)
    if 300 <= answer.status < 400 and answer.status != 304:
        answer.close()
        return Response(status_code=502)
    kept = {key: answer.headers[key] for key in _ANSWER_HEADERS if key in answer.headers}
    if request.method == "HEAD" or answer.status == 304:
        answer.close()
        return Response(status_code=answer.status, headers=kept)
    content = _chunks(answer)
    if expected is not None and answer.status == 200:
        if kept.get("content-length") != str(expected.size_bytes):
            answer.close()
            here.counted.refused.labels("storage", "image-tampered").inc()
            return Response(status_code=502)
        content = _verified(content, expected, request)
    return StreamingResponse(content, answer.status, headers=kept)


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The bucket's bytes; where they break off, so does our answer, and its length shows it."""
    try:
        async with answer:
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                yield chunk
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConnectionAbortedError(f"the bucket broke off: {type(error).__name__}") from None


async def _verified(chunks: AsyncIterator[bytes], file: manifests.File, request: Request) -> AsyncIterator[bytes]:
    """The same bytes; the last ones leave only if all are what was signed, so that a changed object never ends.

    A part of an object cannot be verified here; who asks for parts has the SHA-256 from a document.
    """
    digest, held = hashlib.sha256(), b""
    async for chunk in chunks:
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    if digest.hexdigest() != file.sha256:
        context.of(request).counted.refused.labels("storage", "image-tampered").inc()
        request.scope["epoxy.refused"] = "image-tampered"
        raise ConnectionAbortedError("an object of the bucket is not as its manifest says")
    yield held
