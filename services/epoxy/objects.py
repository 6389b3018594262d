"""Objects below the storage prefix: small ones whole, for the server's own use, and where an object lies.

The prefix is an http or https URL, or a folder as `file:///path`. A name is checked before anything is opened.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import aiohttp

MAX_SMALL_BYTES = 4 * 1024 * 1024
MAX_NAME = 1024
_NAME = re.compile(r"[A-Za-z0-9._~+=@,:-]+(?:/[A-Za-z0-9._~+=@,:-]+)*")
_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Unreachable(Exception):
    """The bucket did not answer as a bucket does."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Where the objects are, and a file with the bearer token that a bucket asks for which is not public."""

    url: str
    token_file: Path | None = None

    @property
    def folder(self) -> Path | None:
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    async def credentials(self) -> dict[str, str]:
        """The headers that open the bucket; the file is read each time, since such tokens live for an hour.

        Raises `Unreachable`.
        """
        if self.token_file is None:
            return {}
        try:
            token = (await asyncio.to_thread(self.token_file.read_text, "ascii")).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unreachable(f"its token: {type(error).__name__}") from None
        return {"authorization": f"Bearer {token}"}

    def of(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{quote(name)}"


def checked(raw: str) -> str | None:
    """The name in a path as it was sent: plain segments, none hidden in an encoding, none that leads upwards."""
    name = unquote(raw)
    if re.search(r"%2f|%5c|%00|%2e", raw, re.IGNORECASE) or len(name) > MAX_NAME or not _NAME.fullmatch(name):
        return None
    return None if any(set(segment) == {"."} for segment in name.split("/")) else name


def in_folder(folder: Path, name: str) -> Path | None:
    """The file, if it is one and lies within the folder."""
    root = folder.resolve()
    path = (root / name).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None


async def small(prefix: Prefix, http: aiohttp.ClientSession, name: str) -> bytes | None:
    """A small object whole; None where there is none. Raises `Unreachable`."""
    folder = prefix.folder
    if folder is not None:
        return await asyncio.to_thread(_read, folder, name)
    headers = await prefix.credentials()
    try:
        async with http.get(prefix.of(name), headers=headers, timeout=_TIMEOUT, allow_redirects=False) as answer:
            if answer.status == 404:
                return None
            body = await answer.content.read(MAX_SMALL_BYTES + 1)
            while len(body) <= MAX_SMALL_BYTES and (more := await answer.content.read(MAX_SMALL_BYTES)):
                body += more
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(f"{name}: {type(error).__name__}") from None
    if answer.status != 200 or len(body) > MAX_SMALL_BYTES:
        raise Unreachable(f"{name}: status {answer.status}, at most {MAX_SMALL_BYTES} bytes are read")
    return body


def _read(folder: Path, name: str) -> bytes | None:
    path = in_folder(folder, name)
    return None if path is None else path.read_bytes()[: MAX_SMALL_BYTES + 1]
