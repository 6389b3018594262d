"""Where a build says how far it is; the command line gives one that writes to stderr."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Calls come from one thread."""

    def begin(self, title: str, total: int) -> None:
        """A series of `total` steps starts."""

    def advance(self, text: str) -> None:
        """One step ended."""

    def say(self, text: str) -> None:
        """A line that is no step."""
