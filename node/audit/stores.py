"""Where bundles are: a bucket, by the official client, or a local folder that holds the same names.

What is read is checked against the store's checksum, so that a bundle that was spoilt on the way is not taken for one
that is spoilt there.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import google.api_core.exceptions
import google.auth.exceptions
import google_crc32c
import requests

from node import cloud_storage

_CHUNK_BYTES = 4 << 20
_TIMEOUT_S = 60.0
SCHEME = "gs://"


class StoreError(Exception):
    """The store does not give what is asked for."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object, and how to read it."""

    name: str
    size_bytes: int
    open: Callable[[], AbstractContextManager[BinaryIO]]


class Store(Protocol):
    """Both raise `StoreError`."""

    def objects(self, prefix: str) -> Iterator[Stored]:
        """All whose name begins so, in order."""

    def find(self, name: str) -> Stored | None:
        """The one of this name."""


def of(words: str) -> Store:
    """`gs://BUCKET`, or a folder if there is one of this name, or else a bucket's name."""
    if not words.startswith(SCHEME) and Path(words).is_dir():
        return Folder(Path(words))
    return Bucket(words.removeprefix(SCHEME).rstrip("/"))


class Folder:
    """A copy of a bucket, or of a part of it, with the objects' whole names."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def objects(self, prefix: str) -> Iterator[Stored]:
        for above, folders, names in os.walk(self._root):
            folders.sort()
            for name in sorted(names):
                path = Path(above, name)
                below = path.relative_to(self._root).as_posix()
                if below.startswith(prefix):
                    yield self._stored(below, path)

    def find(self, name: str) -> Stored | None:
        path = self._root / name
        return self._stored(name, path) if path.is_file() else None

    def _stored(self, name: str, path: Path) -> Stored:
        try:
            return Stored(name, path.stat().st_size, lambda: path.open("rb"))
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from None


class Bucket:
    """One bucket. `STORAGE_EMULATOR_HOST` is honoured, and then nobody is asked for credentials."""

    def __init__(self, name: str) -> None:
        self._name = name
        try:
            client = cloud_storage.client("audit")
        except (google.auth.exceptions.GoogleAuthError, OSError) as error:
            raise StoreError(f"{SCHEME}{name}: {error}") from None
        self._bucket = client.bucket(name)
        self._client = client

    def objects(self, prefix: str) -> Iterator[Stored]:
        with self._failures():
            for blob in self._client.list_blobs(self._bucket, prefix=prefix, timeout=_TIMEOUT_S):
                yield self._stored(blob)

    def find(self, name: str) -> Stored | None:
        with self._failures():
            blob = self._bucket.get_blob(name, timeout=_TIMEOUT_S)
        return None if blob is None else self._stored(blob)

    def _stored(self, blob: Any) -> Stored:
        return Stored(str(blob.name), int(blob.size), lambda: self._open(blob))

    @contextmanager
    def _open(self, blob: Any) -> Iterator[BinaryIO]:
        with self._failures(), blob.open("rb", chunk_size=_CHUNK_BYTES, timeout=_TIMEOUT_S) as opened:
            checked = _Checked(opened)
            yield cast(BinaryIO, checked)
            while checked.read(_CHUNK_BYTES):
                pass
            if blob.crc32c and checked.crc32c != blob.crc32c:
                raise StoreError(f"{blob.name}: came with crc32c {checked.crc32c}, the store has {blob.crc32c}")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (
            google.api_core.exceptions.GoogleAPIError,
            google.auth.exceptions.GoogleAuthError,
            requests.exceptions.RequestException,
        ) as error:
            raise StoreError(f"{SCHEME}{self._name}: {' '.join(str(error).split())[:256]}") from None


class _Checked:
    """A stream whose checksum is taken as it is read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._crc = 0

    @property
    def crc32c(self) -> str:
        return base64.b64encode(self._crc.to_bytes(4, "big")).decode()

    def read(self, size: int = -1) -> bytes:
        data = bytes(self._stream.read(size))
        self._crc = int(google_crc32c.extend(self._crc, data))
        return data
