"""Which resources of a scope a run touches: globs on `target/kind/name`; without any, all of them."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """Nothing outside it is written or deleted."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is left out on purpose."""
        return not self.only and not self.without

    def holds(self, name: str) -> bool:
        """Whether `target/kind/name` is in it."""
        if any(fnmatch.fnmatchcase(name, glob) for glob in self.without):
            return False
        return not self.only or any(fnmatch.fnmatchcase(name, glob) for glob in self.only)
