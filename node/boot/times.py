"""How long each part of a stage took, for the report. Commands of a document add their own.

A command finds the path of a file in `EPOXY_TIMES` and appends lines `name seconds`; the client reads them after it.
Names from there get the prefix `commands.`. What is not such a line is left out: times are for people, and no reason
to fail a boot.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "EPOXY_TIMES"
_LINE = re.compile(r"([a-z][a-z0-9_.]{0,39}) ([0-9]{1,9}(?:\.[0-9]{1,9})?)")
_MAX_NAMES = 40


class Times:
    """Seconds by name. A part that is repeated adds up."""

    def __init__(self) -> None:
        self._found: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what happens inside, whether it ends well or not."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._found[name] = self._found.get(name, 0.0) + time.monotonic() - start

    def read(self, path: Path) -> None:
        """Take over what commands wrote."""
        with suppress(OSError):
            for line in path.read_text(errors="replace")[:8192].splitlines():
                match = _LINE.fullmatch(line)
                if match and len(self._found) < _MAX_NAMES:
                    self._found[f"commands.{match[1]}"] = float(match[2])

    def json(self) -> dict[str, float]:
        return {name: round(seconds, 3) for name, seconds in self._found.items()}


def note(path: str | None, name: str, seconds: float) -> None:
    """What a command of ours uses to write its line; nothing happens where no client asked for it."""
    if path:
        with suppress(OSError), Path(path).open("a") as file:
            file.write(f"{name} {seconds:.3f}\n")
