"""The lock of a scope: one row with its holder and expiry, by the server's clock alone.

Renewing succeeds only while the row is still the holder's: had another taken the lock in between, its row (or, after
its release, none) would be there. So a renewal proves that nobody else held the lock since it was taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from services.epoxy import errors

MIN_TTL_S, MAX_TTL_S = 0.1, 3600.0
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,199}")
_SCOPE = re.compile(r"[a-z0-9][a-z0-9._/-]{0,199}")
_TEXT_LIMIT = 512


@dataclass(frozen=True, slots=True)
class Lock:
    """Who holds a scope and until when; `expires_s` is the server's wall clock, because a restart must keep it."""

    scope: str
    identity: str
    actor: str
    run_url: str
    started: str
    expires_s: float

    def json(self, now_s: float) -> dict[str, Any]:
        return {
            "scope": self.scope,
            "identity": self.identity,
            "actor": self.actor,
            "run_url": self.run_url,
            "started": self.started,
            "expires_in_s": round(self.expires_s - now_s, 3),
        }


@dataclass(frozen=True, slots=True)
class Request:
    """What a holder asks for."""

    holder: Lock
    ttl_s: float


def held(lock: Lock, now_s: float) -> errors.ApiError:
    """409 that names holder, actor, run and start."""
    run = f", run {lock.run_url}" if lock.run_url else ""
    return errors.ApiError(
        409,
        "lock.held",
        f"{lock.scope} is locked by {lock.identity} ({lock.actor}{run}, since {lock.started});"
        f" it expires in {max(lock.expires_s - now_s, 0):.0f} s",
    )


def acquire(current: Lock | None, request: Request, now_s: float) -> Lock:
    """Take a free, expired or own lock. Raises 409."""
    wanted = request.holder
    if current is not None and current.identity != wanted.identity and current.expires_s > now_s:
        raise held(current, now_s)
    return replace(wanted, expires_s=now_s + request.ttl_s)


def renew(current: Lock | None, scope: str, identity: str, ttl_s: float, *, now_s: float) -> Lock:
    """Extend one's own lock. Raises 404 where it is gone, 409 where another has it."""
    if current is None:
        raise absent(scope)
    if current.identity != identity:
        raise held(current, now_s)
    return replace(current, expires_s=now_s + ttl_s)


def release(current: Lock | None, scope: str, identity: str, now_s: float) -> None:
    """Give one's own lock back. Raises 404 where there is none, 409 where another has it."""
    if current is None:
        raise absent(scope)
    if current.identity != identity:
        raise held(current, now_s)


def absent(scope: str) -> errors.ApiError:
    return errors.ApiError(404, "lock.absent", f"{scope} is not locked")


def scope_name(scope: str) -> str:
    if not _SCOPE.fullmatch(scope):
        raise errors.invalid("scope", f"{scope[:80]!r} must match {_SCOPE.pattern}")
    return scope


def parse_request(scope: str, body: Any) -> Request:
    """The body of an acquisition: identity, actor, run_url, started, ttl_s."""
    known = ("identity", "actor", "run_url", "started", "ttl_s")
    fields = _fields(body, known)
    for key in ("actor", "run_url", "started"):
        if not isinstance(fields[key], str) or len(fields[key]) > _TEXT_LIMIT or not fields[key].isprintable():
            raise errors.invalid(key, f"must be printable text of at most {_TEXT_LIMIT} characters")
    holder = Lock(
        scope=scope,
        identity=identity(fields["identity"]),
        actor=fields["actor"],
        run_url=fields["run_url"],
        started=fields["started"],
        expires_s=0.0,
    )
    return Request(holder, _ttl(fields["ttl_s"]))


def parse_renewal(body: Any) -> tuple[str, float]:
    """The body of a renewal: identity, ttl_s."""
    fields = _fields(body, ("identity", "ttl_s"))
    return identity(fields["identity"]), _ttl(fields["ttl_s"])


def identity(value: Any) -> str:
    if isinstance(value, str) and _IDENTITY.fullmatch(value):
        return value
    raise errors.invalid("identity", f"must be text that matches {_IDENTITY.pattern}")


def _fields(body: Any, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise errors.invalid("body", f"must be an object with the keys {', '.join(known)}")
    for key in (*body, *known):
        if key not in known:
            raise errors.invalid(key[:80], f"unknown; known are {', '.join(known)}")
        if key not in body:
            raise errors.invalid(key, "missing")
    return body


def _ttl(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and MIN_TTL_S <= value <= MAX_TTL_S:
        return float(value)
    raise errors.invalid("ttl_s", f"must be a number of seconds from {MIN_TTL_S} to {MAX_TTL_S}")
