"""Putting an object into the archive so that it is there exactly once, and proving that it is.

By the official client: it finds the credentials, and honours `STORAGE_EMULATOR_HOST`. An object is created only where
there is none (`ifGenerationMatch=0`), with its checksum, which the store compares before it commits. Where one is
there already, it is ours if size and checksum are equal: an answer was lost, or the run before this one ended.

Each attempt ends: `requests` limits the wait for each piece only, so that a store which answers one byte a second
would hold it for ever. A watch of its own shuts the connection of an attempt that takes too long.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from io import BufferedIOBase
from typing import Any

import google.api_core.exceptions
import google.auth.exceptions
import requests

from node import cloud_storage
from node.pusher import faults
from node.pusher.deadline import Deadlines

CHUNK_BYTES = 8 << 20
SILENCE_S = 60.0
"""Without a byte from the store; much shorter than an attempt, which may be one hour for large files on slow links."""
_TEMPORARY_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))


class Failed(Exception):
    """An attempt without success; it may have been carried out all the same. `after_s` is what the store asks for."""

    def __init__(self, words: str, *, temporary: bool, after_s: float = 0.0) -> None:
        super().__init__(words)
        self.temporary = temporary
        self.after_s = after_s


class Taken(Exception):
    """Another content has the object's name."""


class Bucket:
    """The target. For any number of threads."""

    def __init__(self, name: str, timeout_s: float, connections: int) -> None:
        self._client = cloud_storage.client("pusher")
        self._deadlines = Deadlines(timeout_s)
        self._deadlines.mount(self._client._http, connections)
        self._silence_s = min(SILENCE_S, timeout_s)
        self.bucket = self._client.bucket(name)

    def put(self, name: str, file: Callable[[], BufferedIOBase], size: int, crc32c: int, content_type: str) -> None:
        """Raises `Failed`, `Taken` and `OSError` of the file."""
        blob = self.bucket.blob(name)
        blob.chunk_size = CHUNK_BYTES
        blob.crc32c = wanted = _base64(crc32c)
        faults.point("upload-before")
        with file() as opened, self._deadlines.attempt():
            uploaded = False
            try:
                blob.upload_from_file(
                    opened,
                    size=size,
                    content_type=content_type,
                    if_generation_match=0,
                    timeout=self._silence_s,
                    checksum=None,  # ours is in the metadata: the store compares it with what came
                    retry=None,
                )
                uploaded = (blob.crc32c, blob.size) == (wanted, size)
            except google.api_core.exceptions.PreconditionFailed:
                pass
            except _CLIENT_ERRORS as error:
                raise _failed(error) from error
            if not uploaded:
                self._compare(name, wanted, size)
        faults.point("upload-after")

    def _compare(self, name: str, wanted: str, size: int) -> None:
        """Ask what is there: an answer to an upload may come from anything between here and the store."""
        found = self._present(name)
        if found is None:
            raise Failed(f"{name}: is said to be there, and is not", temporary=True)
        if found != (wanted, size):
            raise Taken(f"{name}: has crc32c {found[0]} and {found[1]} bytes, not {wanted} and {size}")

    def has(self, name: str, size: int, crc32c: int) -> bool:
        """Whether exactly this is there. Raises `Failed`."""
        with self._deadlines.attempt():
            return self._present(name) == (_base64(crc32c), size)

    def _present(self, name: str) -> tuple[str, int] | None:
        """Checksum and size of what is there; None only if the store itself says that nothing is. Raises `Failed`."""
        blob = self.bucket.blob(name)
        try:
            blob.reload(timeout=self._silence_s, retry=None)
            if not blob.generation or not blob.crc32c or blob.size is None:
                raise Failed(f"{name}: the answer says neither size nor checksum", temporary=True)
            return blob.crc32c, int(blob.size)
        except google.api_core.exceptions.NotFound as error:
            if not error.errors:
                raise Failed(f"{name}: 404, but not from a store", temporary=True) from error
            return None
        except _CLIENT_ERRORS as error:
            raise _failed(error) from error

    def get(self, name: str) -> tuple[bytes, int] | None:
        """A small object and its generation; None if there is none. Raises `Failed`."""
        with self._deadlines.attempt():
            try:
                blob = self.bucket.get_blob(name, timeout=self._silence_s, retry=None)
                if blob is None:
                    return None
                return blob.download_as_bytes(timeout=self._silence_s, retry=None), int(blob.generation)
            except google.api_core.exceptions.NotFound:
                return None
            except _CLIENT_ERRORS as error:
                raise _failed(error) from error

    def replace(self, name: str, data: bytes, generation: int, content_type: str) -> bool:
        """A small object in place of the one of this generation, 0: of none. False: it has another one. Raises
        `Failed`."""
        with self._deadlines.attempt():
            try:
                self.bucket.blob(name).upload_from_string(
                    data,
                    content_type=content_type,
                    if_generation_match=generation,
                    timeout=self._silence_s,
                    checksum="crc32c",
                    retry=None,
                )
            except google.api_core.exceptions.PreconditionFailed:
                return False
            except _CLIENT_ERRORS as error:
                raise _failed(error) from error
        return True

    def close(self) -> None:
        with suppress(Exception):
            self._client.close()
        self._deadlines.close()


_CLIENT_ERRORS = (
    google.api_core.exceptions.GoogleAPIError,
    google.auth.exceptions.GoogleAuthError,
    requests.exceptions.RequestException,
    # What the client makes of an answer that is none of the store's: no JSON, no such member, no header.
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)


def _failed(error: Exception) -> Failed:
    status = getattr(error, "code", None)
    words = " ".join(str(error).split())[:256] or type(error).__name__
    # An answer that nobody can read may come from anything between here and the store.
    temporary = not isinstance(status, int) or status in _TEMPORARY_STATUSES
    return Failed(words, temporary=temporary, after_s=_retry_after_s(getattr(error, "response", None)))


def _retry_after_s(response: Any) -> float:
    """What the store asks for: seconds, or a date."""
    text = (getattr(response, "headers", None) or {}).get("Retry-After", "")
    with suppress(ValueError):
        return max(0.0, float(text))
    with suppress(ValueError, TypeError):
        due = parsedate_to_datetime(text)
        return max(0.0, due.timestamp() - time.time())
    return 0.0


def _base64(crc32c: int) -> str:
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()
