"""Bytes of an object on their way in and out: hashed while they arrive, kept in the database if small.

Below `INLINE` bytes a content is a row, written with the object in one commit; above it is a file of its own, synced
before that commit. crc32c and md5 are base64 of the big-endian digest, as the API gives them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from services.local.objectstore import errors, store

INLINE = 64 * 1024
CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """A complete content; exactly one of `data` and `file` is set."""

    size: int
    crc32c: str
    md5: str
    data: bytes | None
    file: str | None


class Hashes:
    """Both checksums of a content, taken while its bytes go by."""

    def __init__(self) -> None:
        self._crc32c: int = 0
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        self._crc32c = int(google_crc32c.extend(self._crc32c, chunk))
        self._md5.update(chunk)

    def base64(self) -> tuple[str, str]:
        """crc32c and md5."""
        crc32c = self._crc32c.to_bytes(4, "big")
        return base64.b64encode(crc32c).decode(), base64.b64encode(self._md5.digest()).decode()


class Sink:
    """Takes bytes; `finish` gives a durable content, `discard` leaves nothing."""

    def __init__(self, files: Path) -> None:
        self.size = 0
        self._files = files
        self._buffer = bytearray()
        self._name = ""
        self._handle: BinaryIO | None = None
        self._hashes = Hashes()

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._hashes.update(chunk)
        if self._handle is not None:
            self._handle.write(chunk)
            return
        self._buffer += chunk
        if len(self._buffer) > INLINE:
            self._name = uuid.uuid4().hex
            self._handle = (self._files / self._name).open("wb")
            self._handle.write(self._buffer)
            self._buffer.clear()

    async def finish(self) -> Content:
        crc32c, md5 = self._hashes.base64()
        if self._handle is None:
            return Content(self.size, crc32c, md5, bytes(self._buffer), None)
        await asyncio.to_thread(self._sync, self._handle)
        return Content(self.size, crc32c, md5, None, self._name)

    def _sync(self, handle: BinaryIO) -> None:
        handle.flush()
        os.fsync(handle.fileno())
        handle.close()
        store.sync_directory(self._files)

    def discard(self) -> None:
        if self._handle is not None:
            self._handle.close()
            (self._files / self._name).unlink(missing_ok=True)


def from_file(files: Path, name: str, size: int) -> Content:
    """The first `size` bytes of an already synced file, which loses what is behind them; in memory if they are few."""
    hashes, small, data = Hashes(), size <= INLINE, b""
    with (files / name).open("r+b" if size else "w+b") as handle:
        if os.fstat(handle.fileno()).st_size != size:
            handle.truncate(size)
            os.fsync(handle.fileno())
        while chunk := handle.read(CHUNK):
            hashes.update(chunk)
            if small:
                data += chunk
    crc32c, md5 = hashes.base64()
    return Content(size, crc32c, md5, data if small else None, None if small else name)


def check_header(content: Content, header: str) -> None:
    """Hold a content against `X-Goog-Hash: crc32c=...,md5=...`; 400 if the client counted otherwise."""
    for part in header.split(","):
        kind, _, value = part.strip().partition("=")
        actual = {"crc32c": content.crc32c, "md5": content.md5}.get(kind)
        if actual is not None and value != actual:
            raise errors.invalid(f"Provided {kind} in X-Goog-Hash doesn't match calculated {kind} {actual}.")


def keep(transaction: store.Transaction, content: Content) -> int:
    """Name a content in the database; returns its id."""
    cursor = transaction.execute("INSERT INTO contents(data, file) VALUES (?, ?)", content.data, content.file)
    return int(cursor.lastrowid or 0)


@dataclass(frozen=True, slots=True)
class Source:
    """A stored content, opened: its file may be unlinked meanwhile, the open handle still reads."""

    size: int
    data: bytes | None
    handle: BinaryIO | None

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes `start` up to, not including, `end`; closes the handle."""
        if self.handle is None:
            yield (self.data or b"")[start:end]
            return
        with self.handle as handle:
            handle.seek(start)
            left = end - start
            while left > 0 and (chunk := handle.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk


def open_content(state: store.Store, content: int, size: int) -> Source | None:
    """Open a content, or None if it was just removed."""
    row = state.reader.execute("SELECT data, file FROM contents WHERE id = ?", (content,)).fetchone()
    if row is None:
        return None
    if row[1] is None:
        return Source(size, row[0] or b"", None)
    try:
        return Source(size, None, (state.files / row[1]).open("rb"))
    except FileNotFoundError:
        return None
