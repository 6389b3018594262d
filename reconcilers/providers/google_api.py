"""What the clients of Google's APIs share: their errors, told apart and said in one line.

A page of some other server must pass neither for an empty list nor for the proof that something is gone; only the
API's own JSON errors count as its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from reconcilers.core import retry
from reconcilers.core.errors import Conflict, MlabError, Permanent, Temporary, one_line
from reconcilers.providers import bounded_http
from reconcilers.providers.time_limits import Limits

_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_TOO_FAST = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})
"""Reasons with which some of the APIs answer 403 where others answer 429."""


class Absent(Permanent):
    """What was asked for is not there."""


@dataclass(frozen=True, slots=True)
class Service:
    """An API's name, the place of the configuration that says where it is, and the target that it is reached for."""

    name: str
    setting: str
    provider: str


def client(kind: Callable[..., Any], project: str, where: Mapping[str, Any], limits: Limits, service: Service) -> Any:
    """A client of the library's with our limits; `where` may name an `endpoint`, and `anonymous` for one of our own."""
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import GoogleAuthError

    endpoint = where.get("endpoint")
    try:
        made = kind(
            project=project,
            credentials=AnonymousCredentials() if where.get("anonymous") else None,  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": endpoint} if endpoint else None,
        )
    except GoogleAuthError as error:
        raise Permanent(f"no credentials for {service.name} of {project}: {one_line(str(error), 160)}") from error
    session = made._http
    bounded_http.bound(session, limits.total_s, provider=service.provider)
    session.max_redirects = 0
    if endpoint:
        session.trust_env = False  # a server of our own: a proxy of the person's shell is not the way to it
    return made


def ours(error: Exception, what: str, limits: Limits, service: Service) -> MlabError:
    """The error of a client's call as one of ours: by status, or temporary where there is none."""
    if isinstance(error, MlabError):
        return error
    code = int(getattr(error, "code", 0) or 0)
    said = _said(error)
    words = f"{code} {said or _page(error)}" if code else _reason(error, limits, service)
    text = one_line(f"{what}: {words}", 240)
    if code == 404 and not said:
        # Some other server's page: what is not there must not pass for what was deleted.
        return Permanent(one_line(f"{text}; does {service.name} listen at {service.setting}?"))
    if code == 404:
        return Absent(text)
    if code in (409, 412):
        return Conflict(text)
    if code in _TRANSIENT or (code == 403 and _reasons(error) & _TOO_FAST):
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        return Temporary(text, retry.retry_after_s(headers.get("Retry-After")), throttled=code in (403, 429))
    if 300 <= code < 500:
        return Permanent(text)
    return Temporary(text) if _passes(error) else Permanent(text)


def _said(error: Exception) -> str:
    """The API's own words in an error answer; empty if the answer is somebody else's."""
    try:
        return str(error.response.json()["error"]["message"])  # type: ignore[attr-defined]
    except (AttributeError, ValueError, LookupError, TypeError):
        return ""


def _page(error: Exception) -> str:
    """How an answer begins that is not the API's own."""
    response = getattr(error, "response", None)
    return one_line(f"{response.reason}: {response.text}", 100) if response is not None else str(error)


def _reason(error: Exception, limits: Limits, service: Service) -> str:
    """Why there is no answer at all, or none that can be read."""
    if isinstance(error, requests.exceptions.Timeout) and not isinstance(error, bounded_http.Unfinished):
        return f"no answer within {limits.read_s:g} s"
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return "the answer is not JSON"
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return f"the server points elsewhere; correct {service.setting}"
    return bounded_http.reason(error)


def _passes(error: Exception) -> bool:
    """Whether trying again may help: not with a wrong certificate, a redirect, or credentials that are refused."""
    from google.auth import exceptions

    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.TooManyRedirects):
        return False
    if isinstance(error, exceptions.TransportError) or not isinstance(error, exceptions.GoogleAuthError):
        return True
    return bool(error.retryable)


def _reasons(error: Exception) -> set[str]:
    return {str(item.get("reason", "")) for item in getattr(error, "errors", ()) if isinstance(item, dict)}
