"""Answers that end: a limit in time and size on each whole answer, for every client that is built on `requests`.

`requests` limits the wait for each piece only, so that a server which drips one byte a second would hold a run for
ever. The body is read here, under one deadline, before the client sees the answer; its own reading finds it complete.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import requests
import requests.adapters
import urllib3.exceptions

from reconcilers.core.errors import one_line
from reconcilers.providers import secrets, traffic

MAX_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024


class Unfinished(requests.exceptions.Timeout):
    """The answer began, and did not end in time."""


class TooLarge(requests.exceptions.RequestException):
    """The answer is larger than any that this program asks for."""


class BoundedAdapter(requests.adapters.HTTPAdapter):
    """Mount it on a session; `total_s` is from the request's first byte to the answer's last."""

    def __init__(self, total_s: float, *, max_bytes: int = MAX_BYTES, connections: int = 10) -> None:
        super().__init__(pool_connections=1, pool_maxsize=connections)
        self._total_s, self._max_bytes = total_s, max_bytes

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """As the library's, with the body read."""
        deadline = time.monotonic() + self._total_s
        response = super().send(request, stream, timeout, verify, cert, proxies)
        try:
            content = self._read(response.raw, deadline)
        except BaseException:
            response.close()
            raise
        response.raw.release_conn()
        response._content, response._content_consumed = content, True  # type: ignore[attr-defined]
        return response

    def _read(self, raw: Any, deadline: float) -> bytes:
        content = bytearray()
        try:
            while piece := raw.read1(_CHUNK_BYTES, decode_content=True):
                content += piece
                if time.monotonic() > deadline:
                    raise Unfinished(f"the answer did not end within {self._total_s:g} s")
                if len(content) > self._max_bytes:
                    raise TooLarge(f"the answer exceeds {self._max_bytes} bytes")
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.exceptions.ReadTimeout(error) from None
        except urllib3.exceptions.DecodeError as error:
            raise requests.exceptions.ContentDecodingError(error) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise requests.exceptions.ChunkedEncodingError(error) from None
        return bytes(content)


def reason(error: BaseException) -> str:
    """What the operating system said, which the libraries wrap three times; else the innermost words."""
    cause: Any = error
    words = str(error)
    while isinstance(cause, BaseException):
        words = str(cause) or words
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        inner = next((part for part in cause.args if isinstance(part, BaseException)), None)
        cause = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__ or inner
    return one_line(secrets.redact(words), 160)


def bound(session: requests.Session, total_s: float, *, provider: str, connections: int = 10) -> None:
    """Put a session under the limit; its answers are counted as those of a provider."""
    traffic.watch(session, provider)
    adapter = BoundedAdapter(total_s, connections=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
