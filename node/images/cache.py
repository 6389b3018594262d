"""The cache of the image builder: package lists, package files, finished builds, all under names made of content.

It lies in `${XDG_CACHE_HOME:-~/.cache}/mlab/images`, and may be deleted at any time: only time is lost, and the exact
versions of what the archive no longer has.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def folder(name: str) -> Path:
    """A folder of the cache, made if it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    made = Path(base) / "mlab" / "images" / name
    made.mkdir(parents=True, exist_ok=True)
    return made


def write(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Hold one of the cache's locks; a second process waits until the first is done, and finds its work."""
    with (folder("locks") / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
