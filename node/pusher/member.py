"""A file as it was when it was packed. Only the very same file may be deleted later."""

from __future__ import annotations

import os
from typing import NamedTuple


class Member(NamedTuple):
    """Its name below the datatype's folder, and what tells it from any other file. `added_us` is when it was packed."""

    name: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    added_us: int = 0

    def is_still(self, status: os.stat_result) -> bool:
        """Whether a file is this one, unchanged."""
        return (
            status.st_ino == self.inode
            and status.st_mtime_ns == self.mtime_ns
            and status.st_size == self.size
            and status.st_dev == self.device
        )
