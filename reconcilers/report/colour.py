"""Colour on a terminal: what a line begins with says what it is, so that lines are made once and painted last."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import TextIO

_RESET = "\x1b[0m"
_RED, _GREEN, _YELLOW, _CYAN, _BOLD, _FAINT = (f"\x1b[{code}m" for code in (31, 32, 33, 36, 1, 2))
_STYLES = (
    (re.compile(r"  ! "), _BOLD + _RED),
    (re.compile(r"  [-±] "), _RED),
    (re.compile(r"  \+ "), _GREEN),
    (re.compile(r"  ~ "), _YELLOW),
    (re.compile(r"  [@o] "), _CYAN),
    (re.compile(r"      blocked: "), _BOLD + _RED),
    (re.compile(r"      (note|permitted by)[: ]"), _FAINT),
    (re.compile(r"warning: "), _YELLOW),
    (re.compile(r"Plan \w+: "), _BOLD),
    (re.compile(r"[\w-]+/[\w-]+(   |: )"), _BOLD),
)


def wanted(choice: str, stream: TextIO) -> bool:
    """`always`, `never`, or `auto`: on a terminal, unless `NO_COLOR` is set (no-color.org)."""
    if choice == "auto":
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return choice == "always"


def paint(lines: Iterable[str], *, on: bool) -> Iterator[str]:
    """The same lines, each in the colour of its kind."""
    for line in lines:
        style = next((style for pattern, style in _STYLES if pattern.match(line)), "") if on else ""
        yield f"{style}{line}{_RESET}" if style else line
