"""Cloud Storage's JSON API through the official client's own connection, with our errors and without its long retries.

The client's connection brings credentials, the endpoint and JSON; bodies are the API's resources as they are, so that
a plan shows the field names of the API's documentation. Core retries; the client's policy would repeat for minutes.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import google_crc32c

from reconcilers.core.errors import Conflict, MlabError, Permanent, Temporary, one_line
from reconcilers.fleet.model import Environment

TIMEOUT_S = 20.0
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class Api:
    """One project's buckets and objects."""

    def __init__(self, environment: Environment) -> None:
        self.project = environment.project
        self._where = environment.data["targets"]["buckets"]
        self._client: Any = None

    def call(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """One request. Raises `Temporary`, `Permanent` or `Conflict`; 404 is `Absent`."""
        given = {key: value for key, value in (query or {}).items() if value is not None}
        try:
            return self._connected()._connection.api_request(
                method=method, path=path, query_params=given, data=body, timeout=TIMEOUT_S
            )
        except Exception as error:
            raise _ours(error, f"{method} {path}") from error

    def upload(self, bucket: str, resource: Mapping[str, Any], content: bytes, query: Mapping[str, Any]) -> Any:
        """Create or replace an object under the precondition in `query`; the server checks the CRC32C."""
        blob = self._connected().bucket(bucket).blob(resource["name"])
        blob.cache_control, blob.metadata = resource.get("cacheControl"), resource.get("metadata")
        try:
            blob.upload_from_string(
                content,
                content_type=resource.get("contentType"),
                if_generation_match=query.get("ifGenerationMatch"),
                timeout=TIMEOUT_S,
                retry=None,
                checksum="crc32c",
            )
        except Exception as error:
            raise _ours(error, f"upload of {bucket}/{resource['name']}") from error
        return blob

    def download(self, bucket: str, name: str) -> bytes:
        """An object's content."""
        try:
            content: bytes = (
                self._connected().bucket(bucket).blob(name).download_as_bytes(timeout=TIMEOUT_S, retry=None)
            )
        except Exception as error:
            raise _ours(error, f"download of {bucket}/{name}") from error
        return content

    def pages(self, path: str, query: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """All items of a list."""
        token: str | None = None
        while True:
            answer = self.call("GET", path, {**query, "pageToken": token, "maxResults": 1000})
            yield from answer.get("items", ())
            token = answer.get("nextPageToken")
            if not token:
                return

    def close(self) -> None:
        """Give back connections."""
        if self._client is not None:
            self._client.close()

    def _connected(self) -> Any:
        if self._client is None:
            from google.auth.credentials import AnonymousCredentials
            from google.auth.exceptions import GoogleAuthError
            from google.cloud import storage

            endpoint = self._where.get("endpoint")
            try:
                self._client = storage.Client(
                    project=self.project,
                    credentials=AnonymousCredentials() if self._where.get("anonymous") else None,  # type: ignore[no-untyped-call]
                    client_options={"api_endpoint": endpoint} if endpoint else None,
                )
            except GoogleAuthError as error:
                why = one_line(str(error), 160)
                raise Permanent(f"no credentials for the buckets of {self.project}: {why}") from error
        return self._client


class Absent(Permanent):
    """The bucket or object is not there."""


def bucket_path(bucket: str) -> str:
    """`/b/NAME`."""
    return f"/b/{quote(bucket, safe='')}"


def object_path(bucket: str, name: str) -> str:
    """`/b/BUCKET/o/NAME`, slashes of the name escaped."""
    return f"{bucket_path(bucket)}/o/{quote(name, safe='')}"


def crc32c(content: bytes) -> str:
    """The checksum as the API writes it: base64 of the big-endian value."""
    return base64.b64encode(struct.pack(">I", google_crc32c.value(content))).decode()


def _ours(error: Exception, what: str) -> MlabError:
    if isinstance(error, MlabError):
        return error
    code = int(getattr(error, "code", 0) or 0)
    text = one_line(f"{what}: {getattr(error, 'message', None) or error}", 240)
    if code == 404:
        return Absent(text)
    if code in (409, 412):
        return Conflict(text)
    if code in _TRANSIENT:
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        wait = headers.get("Retry-After", "")
        return Temporary(text, float(wait) if str(wait).isdigit() else (1.0 if code == 429 else None))
    if 400 <= code < 500:
        return Permanent(text)
    # No status: the connection failed, or the answer was no JSON.
    return Temporary(text)
