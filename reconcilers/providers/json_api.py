"""A conversation in JSON over HTTP with one server: keep-alive, time limits, a bearer token, and errors sorted.

The token is read anew for each request, so that a rotation needs no restart and a value lives no longer than a call.
It is sent to the configured server only: redirects, proxies of the environment and `.netrc` are not followed, and
plain HTTP is spoken with loopback alone.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from reconcilers.core import retry
from reconcilers.core.errors import Permanent, Temporary, one_line
from reconcilers.providers import bounded_http, secrets
from reconcilers.providers.time_limits import Limits

TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, the JSON body (None where there is none), and the error that it carries, if any."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def error_code(self) -> str:
        return str(_error(self.body).get("code", ""))

    @property
    def error_message(self) -> str:
        return one_line(secrets.redact(str(_error(self.body).get("message", ""))))


class JsonApi:
    """One server; safe to use from several threads."""

    def __init__(
        self,
        url: str,
        token: Mapping[str, Any] | str,
        *,
        provider: str,
        ca_file: str | None = None,
        limits: Limits,
        connections: int = 8,
    ) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._limits = limits
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file or True
        bounded_http.bound(self._session, self._limits.total_s, provider=provider, connections=connections)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        expected: Collection[int] = (),
    ) -> Answer:
        """Any 2xx, or an expected status whose body is the server's own JSON error.

        Raises `Temporary` for no, slow, unreadable answers and statuses that pass, `Permanent` for all others.
        """
        _refuse_plain(self._url)
        where = f"{method} {self._url}{path}"
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        sent["Authorization"] = f"Bearer {_first_line(secrets.resolve(self._token))}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            response = self._session.request(
                method,
                self._url + path,
                params=query,
                data=data,
                headers=sent,
                timeout=(self._limits.connect_s, self._limits.read_s),
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise Permanent(f"{where}: TLS: {bounded_http.reason(error)}; check the address and ca_file") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise Permanent(f"{where}: {bounded_http.reason(error)}") from None
        except bounded_http.TooLarge as error:
            raise Permanent(f"{where}: {error}") from None
        except bounded_http.Unfinished as error:
            raise Temporary(f"{where}: {error}") from None
        except requests.exceptions.Timeout:
            raise Temporary(f"{where}: no answer within {self._limits.read_s:g} s") from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise Temporary(f"{where}: {bounded_http.reason(error)}") from None
        return _judge(response, response.content, where, expected)

    def close(self) -> None:
        self._session.close()


def _judge(response: requests.Response, content: bytes, where: str, expected: Collection[int]) -> Answer:
    status = response.status_code
    body: Any = None
    rubbish = False
    if content:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            rubbish = True
    if 200 <= status < 300:
        if rubbish or (body is None and status != 204):
            said = one_line(secrets.redact(content[:200].decode("utf-8", "replace")), 100)
            raise Temporary(f"{where}: {status} with an answer that is not JSON: {said!r}")
        return Answer(status, body, response.headers)
    answer = Answer(status, body, response.headers)
    if status in expected and answer.error_code:
        return answer
    said = answer.error_message or one_line(secrets.redact(content[:300].decode("utf-8", "replace")), 100)
    message = f"{where}: {status} {response.reason}: {said}"
    if status in TEMPORARY:
        wish = retry.retry_after_s(response.headers.get("Retry-After"))
        raise Temporary(message, wish, throttled=status == 429)
    raise Permanent(message)


def _refuse_plain(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    host = parts.hostname or ""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if parts.scheme != "http" or not loopback:
        raise Permanent(f"{url}: a token is sent over https only (http: loopback alone); correct the target's url")


def _first_line(token: secrets.Secret) -> str:
    line = token.reveal().split("\n", 1)[0].strip()
    secrets.register(line)
    if not line or not line.isascii() or not line.isprintable() or " " in line:
        raise Permanent(f"secret {token.ref}: a token must be printable ASCII without spaces, alone on its line")
    return line


def _error(body: Any) -> Mapping[str, Any]:
    found = body.get("error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}
