"""The API server as the two programs see it: plain JSON, every wait bounded, no content of an answer in an error.

Authentication is a token in a file, read again whenever it changes, since the kubelet renews a pod's own every hour.
The official client is not used here: its exceptions quote bodies, which hold tokens. Protocol: Kubernetes API concepts
(paging by `limit` and `continue`, watches with bookmarks, 410 where a version is too old).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3

MERGE_PATCH = "application/merge-patch+json"
PAGE = 500
MAX_BYTES = 64 << 20


class Failed(Exception):
    """The API server did not do it. `status` is its answer, 0 for none in time."""

    def __init__(self, what: str, status: int, reason: str) -> None:
        super().__init__(f"{what}: {f'HTTP {status} ' if status else ''}{reason}"[:256])
        self.status = status


class Expired(Exception):
    """What was asked for begins at a version that the server no longer has: list anew."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for a connection, for the next bytes, for a whole answer; and how long a watch lasts.

    A watch ends and is resumed where it was, so that a connection that died is noticed.
    """

    connect_s: float = 3.0
    read_s: float = 5.0
    total_s: float = 10.0
    watch_s: int = 30


DEFAULTS = Limits()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the API server is, who signed its certificate, and the file with our token."""

    url: str
    ca: Path
    token_file: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; `body` is a JSON object."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def failed(self, what: str) -> Failed:
        """Tells the reason word only: a message may quote the object."""
        return Failed(what, self.status, str(self.body.get("reason", "")))


class Api:
    """One pool of connections; safe for threads."""

    def __init__(self, place: Place, limits: Limits = DEFAULTS) -> None:
        self._place = place
        self._limits = limits
        self._session = requests.Session()
        # No proxy and no .netrc: they could send the token elsewhere.
        self._session.trust_env = False
        self._session.verify = str(place.ca)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> Answer:
        """One request, any complete answer. Raises `Failed` where there is none."""
        what = f"{method} {path}"
        deadline = time.monotonic() + self._limits.total_s
        with self._open(method, path, body, query=query, kind=kind, read_s=self._limits.read_s) as response:
            content = bytearray()
            try:
                # Whatever has come: a whole block could be waited for by the byte, past every limit.
                while part := response.raw.read1(1 << 16):
                    content += part
                    if time.monotonic() > deadline or len(content) > MAX_BYTES:
                        raise Failed(
                            what, 0, f"more than {self._limits.total_s:.0f} s or {MAX_BYTES} bytes for an answer"
                        )
                found = json.loads(content or b"{}")
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                raise Failed(what, 0, type(error).__name__) from None
        if not isinstance(found, dict) or (response.ok and "kind" not in found):
            # A page of some gateway must not pass for an empty object.
            raise Failed(what, response.status_code, "the answer is no object of Kubernetes")
        return Answer(response.status_code, found)

    def list(self, path: str, **query: str) -> tuple[list[dict[str, Any]], str]:
        """All objects of a collection and the version as of which this is true. Raises `Expired`, `Failed`."""
        items: list[dict[str, Any]] = []
        asked = {"limit": str(PAGE), **query}
        while True:
            answer = self.call("GET", path, query=asked)
            if answer.status == 410:
                raise Expired
            if not answer.ok:
                raise answer.failed(f"GET {path}")
            items += answer.body.get("items") or []
            meta = answer.body["metadata"]
            if not meta.get("continue"):
                return items, meta["resourceVersion"]
            asked["continue"] = meta["continue"]

    def watch(self, path: str, version: str, **query: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Changes after a version, as (type, object), until the server ends it. Raises `Expired`, `Failed`."""
        asked = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self._limits.watch_s),
            "resourceVersion": version,
            **query,
        }
        what = f"watch {path}"
        patience_s = self._limits.watch_s + self._limits.read_s
        with self._open("GET", path, None, query=asked, kind="", read_s=patience_s) as response:
            if response.status_code == 410:
                raise Expired
            if not response.ok:
                raise Failed(what, response.status_code, response.reason)
            try:
                for line in response.iter_lines(1 << 16):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        if event["object"].get("code") == 410:
                            raise Expired
                        raise Failed(what, int(event["object"].get("code") or 0), str(event["object"].get("reason")))
                    yield event["type"], event["object"]
            except (requests.RequestException, ValueError, KeyError) as error:
                raise Failed(what, 0, type(error).__name__) from None

    def close(self) -> None:
        self._session.close()

    def _open(
        self, method: str, path: str, body: Any, *, query: Mapping[str, str] | None, kind: str, read_s: float
    ) -> requests.Response:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "mlab-epoxy"}
        try:
            headers["Authorization"] = f"Bearer {self._place.token_file.read_text().strip()}"
        except OSError as error:
            raise Failed(f"{method} {path}", 0, f"{self._place.token_file}: {error.strerror}") from None
        if body is not None:
            headers["Content-Type"] = kind
        try:
            return self._session.request(
                method,
                self._place.url + path,
                params=query,
                data=None if body is None else json.dumps(body),
                headers=headers,
                timeout=(self._limits.connect_s, read_s),
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            raise Failed(f"{method} {path}", 0, type(error).__name__) from None
