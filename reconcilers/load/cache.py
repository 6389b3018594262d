"""Rendered objects kept between runs: a directory of JSON texts, each named by the digest of all that it came from.

An entry is never updated, only written once under another name and renamed; two runs that write it write the same
bytes. Its first line is the digest of the rest, so that a torn or edited entry reads as absent. Errors are not kept,
and a directory that cannot be written is only a slower run. The directory is bounded: the entries unused for longest
go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

MAX_BYTES = 256 * 1024 * 1024
MAX_AGE_S = 30 * 24 * 3600.0
_TOUCH_S = 24 * 3600.0
"""An entry's time of use is refreshed once a day: a hit should cost one read."""
_PRUNE_EVERY = 256


def default_directory() -> Path:
    """`$XDG_CACHE_HOME/mlab/render`, or under `~/.cache`; a relative XDG value is to be ignored, says its standard."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path.home() / ".cache"
    return base / "mlab" / "render"


class Cache:
    """Texts by key. State: the directory, how much was found, missed, and written since this process last pruned."""

    def __init__(
        self, directory: Path | None = None, *, max_bytes: int = MAX_BYTES, max_age_s: float = MAX_AGE_S
    ) -> None:
        self._directory = default_directory() if directory is None else directory
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._written = 0
        self._writable = True
        self.hits = self.misses = 0

    def get(self, key: str) -> str | None:
        """The text under a key; None if there is none or if it is not what was written."""
        found = self.content(key)
        self.hits += found is not None
        self.misses += found is None
        return None if found is None else found.decode()

    def content(self, key: str) -> bytes | None:
        """The same as bytes, of what nobody counts."""
        path = self._path(key)
        try:
            raw = path.read_bytes()
            used = path.stat().st_mtime
        except OSError:
            return None
        digest, _, body = raw.partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            return None
        if time.time() - used > _TOUCH_S:
            with contextlib.suppress(OSError):
                os.utime(path)
        return body

    def put(self, key: str, text: str | bytes) -> None:
        """Keep a text, or bytes. A full disk or a directory of somebody else ends the writing, not the run."""
        if not self._writable:
            return
        path = self._path(key)
        body = text.encode() if isinstance(text, str) else text
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _replace(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        except OSError:
            self._writable = False
            return
        if self._written % _PRUNE_EVERY == 0:
            self.prune()
        self._written += 1

    def prune(self) -> None:
        """Remove entries that are too old, then the longest unused until the rest fits."""
        entries = []
        for path in self._directory.glob("??/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        oldest = time.time() - self._max_age_s
        for used, size, path in sorted(entries):
            if used >= oldest and total <= self._max_bytes:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size

    def _path(self, key: str) -> Path:
        return self._directory / key[:2] / f"{key[2:]}.json"


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename, so that a reader sees the whole entry or none."""
    import tempfile  # many runs keep nothing new

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
