"""Requests as they stand on the wire, where the official client cannot say what a test has to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests

TIMEOUT_S = 120.0
Query = Mapping[str, object]


def bucket_path(bucket: str) -> str:
    return f"/storage/v1/b/{quote(bucket, safe='')}"


def object_path(bucket: str, name: str) -> str:
    return f"{bucket_path(bucket)}/o/{quote(name, safe='')}"


class Wire:
    """One server; answers are returned as they are, refusals too. Headers as keywords have underscores for hyphens."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        document: Any = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """`path` is a path or a whole URL, as a resumable session's address is."""
        given = dict(headers or {})
        if document is not None:
            content, given = json.dumps(document).encode(), {"Content-Type": "application/json", **given}
        return self._session.request(
            method,
            path if path.startswith("http") else self.url + path,
            params={key: str(value) for key, value in (query or {}).items()},
            data=content,
            headers=given,
            timeout=TIMEOUT_S,
        )

    def make_bucket(self, name: str, **document: Any) -> dict[str, Any]:
        """A new bucket."""
        return done(self.call("POST", "/storage/v1/b", {"project": "p"}, document={"name": name, **document}))

    def put(self, bucket: str, name: str, content: bytes, query: Query | None = None, **headers: str) -> Any:
        """A simple upload that must succeed; the object's resource."""
        return done(self.upload(bucket, name, content, query, **headers))

    def upload(
        self, bucket: str, name: str, content: bytes, query: Query | None = None, **headers: str
    ) -> requests.Response:
        """A simple upload."""
        asked = {"uploadType": "media", "name": name, **(query or {})}
        return self.call("POST", f"/upload{bucket_path(bucket)}/o", asked, content=content, headers=_named(headers))

    def get(self, bucket: str, name: str, query: Query | None = None) -> dict[str, Any]:
        """The resource of an object that must be there."""
        return done(self.call("GET", object_path(bucket, name), query))

    def read(self, bucket: str, name: str, query: Query | None = None, **headers: str) -> requests.Response:
        """The content, or why not."""
        return self.call("GET", object_path(bucket, name), {"alt": "media", **(query or {})}, headers=_named(headers))

    def names(self, bucket: str, query: Query | None = None) -> list[str]:
        """Names of one page of a listing."""
        listed = done(self.call("GET", f"{bucket_path(bucket)}/o", query))
        return [item["name"] for item in listed.get("items", ())]


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {key.replace("_", "-"): value for key, value in headers.items()}


def done(answer: requests.Response) -> dict[str, Any]:
    """The document of an answer that must be a success."""
    assert answer.ok, f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text[:300]}"
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found


def reason(answer: requests.Response) -> str:
    """Why a call was refused, in the API's word."""
    found: str = answer.json()["error"]["errors"][0]["reason"]
    return found
