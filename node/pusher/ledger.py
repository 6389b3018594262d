"""Which files are packed and not yet proven to be stored, so that none is packed twice.

A name tells a file; its inode tells that a file of another name is one that is packed already, and was renamed since.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from node.pusher.member import Member


class Ledger:
    """For one thread; `renamed` may be read by others."""

    def __init__(self) -> None:
        self._names: dict[str, Member] = {}
        self._inodes: dict[tuple[int, int], Member] = {}
        self.renamed: dict[str, str] = {}
        """Where members are now whose name has changed."""

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, member: Member) -> None:
        self._names[member.name] = member
        self._inodes[member.device, member.inode] = member

    def other_name(self, status: os.stat_result) -> Member | None:
        """The member that is this very file, unchanged."""
        found = self._inodes.get((status.st_dev, status.st_ino))
        return found if found is not None and found.is_still(status) else None

    def rename(self, member: Member, name: str) -> None:
        """A member has another name now."""
        self._names.pop(self.renamed.get(member.name, ""), None)
        self.renamed[member.name] = name
        self._names[name] = member

    def drop(self, members: Iterable[Member]) -> None:
        """They are deleted, or will be packed anew."""
        for member in members:
            self._names.pop(member.name, None)
            if self.renamed:
                self._names.pop(self.renamed.pop(member.name, ""), None)
            place = (member.device, member.inode)
            if self._inodes.get(place) is member:
                del self._inodes[place]
