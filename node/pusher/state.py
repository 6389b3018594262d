"""The folder of a datatype's journals and contents, which one process may use at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Held(Exception):
    """Another process uses it."""


def hold(folder: Path) -> int:
    """A descriptor that holds it until this process ends. Raises `Held` and `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Held(f"{folder} is in use by another pusher; give each datatype to one") from None
    return descriptor
