"""A bundle from its first file to its last byte, and what a format must be able to do for it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from node.pusher.content import Content
from node.pusher.member import Member


class Packing(Protocol):
    """The content of one bundle while it grows."""

    @property
    def contents(self) -> tuple[Content, ...]:
        """One for each object, in the order of their upload."""

    def fits(self, size: int) -> bool:
        """Whether a file of this size may still come in."""

    def add(self, name: str, descriptor: int, status: os.stat_result, added_us: int) -> None:
        """Take a file. Raises `reading.Changed`, `reading.Bad` and `OSError`, and then nothing was added."""

    def full(self) -> bool:
        """Whether it shall be sealed now."""

    def finish(self) -> None:
        """The last bytes."""


class Format(Protocol):
    """How a datatype is archived."""

    content_type: str
    named_at_birth: bool
    """Whether the objects are named by the time of the bundle's first file, and not of its last."""

    def refuses(self, name: str) -> str:
        """Why a file of this name is left where it is; `""`: it is not."""

    def names(self, key: str, us: int) -> tuple[str, ...]:
        """Of the objects."""

    def begin(self, key: str, us: int, path: Path) -> Packing:
        """A new bundle; its contents are files whose names begin with `path`."""


@dataclass(slots=True)
class Bundle:
    """One that is open. Times are of the monotonic clock, `us` of the other one."""

    key: str
    us: int
    path: Path
    packing: Packing
    born: float
    due: float
    members: list[Member] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Compressed bytes so far."""
        return sum(content.size for content in self.packing.contents)

    @property
    def in_memory_bytes(self) -> int:
        """Bytes that the disk did not take."""
        return sum(content.in_memory_bytes for content in self.packing.contents if content.refused is not None)
