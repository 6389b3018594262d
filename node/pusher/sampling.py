"""Which files of a datatype are archived when only a part of them is wanted: decided by the file's own name, so that
every run, and every restart, decides the same."""

from __future__ import annotations

import hashlib
import os

_ALL = 1 << 64


def chosen(name: str, ratio: float) -> bool:
    """Whether to archive a file; `name` is the one that it has in the archive."""
    if ratio >= 1:
        return True
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest, "big") < ratio * _ALL
