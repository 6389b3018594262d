"""Who may administer: bearer tokens out of files, compared in constant time, never logged.

A file holds one token a line, so that a rotation can have the old and the new one valid at once; it is read again
when it changes. A file that vanishes or empties closes the door (503) instead of keeping a revoked token alive.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from enum import StrEnum
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.epoxy import errors

MIN_TOKEN = 16
_READS = ("GET", "HEAD")


class Role(StrEnum):
    """What a token permits."""

    ADMIN = "admin"
    READER = "reader"


class TokenFile:
    """The digests of the tokens in one file, as of its last change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._digests: tuple[bytes, ...] = ()

    def digests(self) -> tuple[bytes, ...]:
        """Raises ValueError, without any content, where the file cannot be used."""
        with self._guard:
            try:
                status = self._path.stat()
                seen = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
                if seen != self._seen:
                    self._digests = _digests(self._path.read_bytes())
                    self._seen = seen
            except OSError as error:
                raise ValueError(f"token file {self._path}: {error.strerror}") from None
            if not self._digests:
                raise ValueError(f"token file {self._path}: needs a token of at least {MIN_TOKEN} characters a line")
            return self._digests


class Tokens:
    """The administrator's file and, if given, the reader's."""

    def __init__(self, admin: Path, reader: Path | None = None) -> None:
        self._files = [(Role.ADMIN, TokenFile(admin))]
        if reader is not None:
            self._files.append((Role.READER, TokenFile(reader)))
        for _, file in self._files:
            file.digests()

    def role(self, authorization: str | None) -> Role | None:
        """The role of an `Authorization` header, None if it bears no valid token. Looks at every token always."""
        scheme, _, token = (authorization or "").partition(" ")
        presented = hashlib.sha256(token.strip().encode("latin-1", "replace")).digest()
        found: Role | None = None
        for role, file in self._files:
            for digest in file.digests():
                if hmac.compare_digest(digest, presented) and found is None:
                    found = role
        return found if scheme.lower() == "bearer" else None


class Guard:
    """Lets a request through to the administration API if its token permits it."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            role = self._tokens.role(Headers(scope=scope).get("authorization"))
        except ValueError as error:
            raise errors.ApiError(503, "auth.unavailable", str(error), headers={"Retry-After": "5"}) from None
        if role is None:
            raise errors.ApiError(
                401, "auth.token", "a valid bearer token is needed", headers={"WWW-Authenticate": "Bearer"}
            )
        scope["epoxy.role"] = role.value
        if role is Role.READER and scope["method"] not in _READS:
            raise errors.ApiError(403, "auth.read-only", f"this token may read only, not {scope['method']}")
        await self._app(scope, receive, send)


def _digests(content: bytes) -> tuple[bytes, ...]:
    tokens = [line.strip() for line in content.splitlines() if line.strip()]
    if any(len(token) < MIN_TOKEN for token in tokens):
        return ()
    return tuple(hashlib.sha256(token).digest() for token in tokens)
