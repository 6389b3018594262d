"""Cloud Storage's JSON API through the official client's own connection, with our errors and without its long retries.

The client's connection brings credentials, the endpoint and JSON; bodies are the API's resources as they are, so that
a plan shows the field names of the API's documentation. Core retries; the client's policy would repeat for minutes.
"""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import google_crc32c

from reconcilers.core.errors import Permanent, Temporary
from reconcilers.fleet.model import Environment
from reconcilers.providers.google_api import Absent as Absent
from reconcilers.providers.google_api import Service, client, ours
from reconcilers.providers.time_limits import Limits

SERVICE = Service("Cloud Storage", "targets.buckets.endpoint", "buckets")
LIMITS = Limits(connect_s=5.0, read_s=20.0, total_s=60.0)
CHUNK_BYTES = 8 * 1024 * 1024
"""How much of a large file one request carries; a multiple of 256 KiB, as the API wants it."""
_FIELDS = {
    "storage#bucket": {"name", "metageneration"},
    "storage#object": {"name", "generation", "size", "crc32c"},
    "storage#policy": {"etag"},
}


class Api:
    """One project's buckets and objects."""

    def __init__(self, environment: Environment, limits: Limits = LIMITS) -> None:
        self.project = environment.project
        self._where = environment.data["targets"]["buckets"]
        self._limits = limits
        self._timeout_s = (limits.connect_s, limits.read_s)
        self._client: Any = None

    def call(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """One request. Raises `Temporary`, `Permanent` or `Conflict`; 404 is `Absent`."""
        given = {key: value for key, value in (query or {}).items() if value is not None}
        try:
            found = self._connected()._connection.api_request(
                method=method, path=path, query_params=given, data=body, timeout=self._timeout_s
            )
        except Exception as error:
            raise ours(error, f"{method} {path}", self._limits, SERVICE) from error
        # A page of some gateway must not pass for an empty list: every resource of this API names its kind.
        if method != "DELETE" and not _is_a(_kind(method, path), found):
            raise Temporary(f"{method} {path}: the answer is no {_kind(method, path)}; does Cloud Storage listen here?")
        return found

    def upload(self, bucket: str, resource: Mapping[str, Any], content: bytes, query: Mapping[str, Any]) -> int:
        """Create or replace an object under the precondition in `query`, and return its generation.

        The server checks the CRC32C.
        """

        def send(blob: Any, **settings: Any) -> None:
            blob.upload_from_string(content, **settings)

        return self._upload(bucket, resource, query, send)

    def upload_file(self, bucket: str, resource: Mapping[str, Any], path: Path, query: Mapping[str, Any]) -> int:
        """The same with the content of a file, of which a part at a time is held."""

        def send(blob: Any, **settings: Any) -> None:
            blob.chunk_size = CHUNK_BYTES
            with path.open("rb") as file:
                blob.upload_from_file(file, size=os.fstat(file.fileno()).st_size, **settings)

        return self._upload(bucket, resource, query, send)

    def _upload(
        self, bucket: str, resource: Mapping[str, Any], query: Mapping[str, Any], send: Callable[..., None]
    ) -> int:
        blob = self._connected().bucket(bucket).blob(resource["name"])
        blob.cache_control, blob.metadata = resource.get("cacheControl"), resource.get("metadata")
        try:
            send(
                blob,
                content_type=resource.get("contentType"),
                if_generation_match=query.get("ifGenerationMatch"),
                timeout=self._timeout_s,
                retry=None,
                checksum="crc32c",
            )
        except Exception as error:
            raise ours(error, f"upload of {bucket}/{resource['name']}", self._limits, SERVICE) from error
        generation = getattr(blob, "generation", None)  # the client keeps whatever JSON came
        if not generation:
            raise Temporary(f"upload of {bucket}/{resource['name']}: the answer is no storage#object")
        return int(generation)

    def download(self, bucket: str, found: Mapping[str, Any]) -> bytes:
        """The content of an object as it was listed or got: that generation, and its checksum proved."""
        name = found["name"]
        blob = self._connected().bucket(bucket).blob(name, generation=int(found["generation"]))
        try:
            content: bytes = blob.download_as_bytes(timeout=self._timeout_s, retry=None)
        except Exception as error:
            raise ours(error, f"download of {bucket}/{name}", self._limits, SERVICE) from error
        if crc32c(content) != found["crc32c"]:
            raise Temporary(f"download of {bucket}/{name}: what arrived is not what the store says that it holds")
        return content

    def document(self, bucket: str, name: str) -> tuple[dict[str, Any] | None, int]:
        """A small JSON object and its generation; (None, 0) if it is absent."""
        try:
            found = self.call("GET", object_path(bucket, name))
            content = self.download(bucket, found)
        except Absent:
            return None, 0
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise Permanent(f"{bucket}/{name}: it holds no JSON object; restore a former version of it, or remove it")
        return document, int(found["generation"])

    def pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """All items of a list."""
        token: str | None = None
        while True:
            answer = self.call("GET", path, {**query, "pageToken": token, "maxResults": 1000})
            yield from answer.get("items", ())
            former, token = token, answer.get("nextPageToken")
            if not token:
                return
            if token == former:
                raise Temporary(f"GET {path}: the list does not advance beyond page {str(token)[:40]!r}")

    def close(self) -> None:
        """Give back connections."""
        if self._client is not None:
            self._client.close()

    def _connected(self) -> Any:
        if self._client is None:
            from google.cloud import storage

            # Even where nothing is traced, the client would read each bucket's own document, in a thread of its own: a
            # call that is in no plan, that nobody waits for, and whose answer may come between those that count.
            os.environ["DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"] = "true"
            self._client = client(storage.Client, self.project, self._where, self._limits, SERVICE)
        return self._client


def bucket_path(bucket: str) -> str:
    """`/b/NAME`."""
    return f"/b/{quote(bucket, safe='')}"


def object_path(bucket: str, name: str) -> str:
    """`/b/BUCKET/o/NAME`, slashes of the name escaped."""
    return f"{bucket_path(bucket)}/o/{quote(name, safe='')}"


def crc32c(content: bytes) -> str:
    """The checksum as the API writes it: base64 of the big-endian value."""
    return base64.b64encode(struct.pack(">I", google_crc32c.value(content))).decode()


def _kind(method: str, path: str) -> str:
    """What the API answers to a call."""
    match path.strip("/").split("/"):
        case ["b"]:
            return "storage#buckets" if method == "GET" else "storage#bucket"
        case ["b", _, "iam"]:
            return "storage#policy"
        case ["b", _, "o"]:
            return "storage#objects"
        case ["b", _, "o", _]:
            return "storage#object"
        case _:
            return "storage#bucket"


def _is_a(kind: str, found: Any) -> bool:
    """Whether an answer is of a kind, with the fields that are read without asking; of a list, each item."""
    if not isinstance(found, dict) or found.get("kind") != kind:
        return False
    if kind in ("storage#buckets", "storage#objects"):
        return all(_is_a(kind[:-1], item) for item in found.get("items", ()))
    return _FIELDS[kind] <= found.keys()
