"""Waiting in tests: for a condition and never for a time. The limit only bounds a failure, which tells all it knows."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

LIMIT_S = 120.0
STEP_S = 0.02
_Seen = TypeVar("_Seen")


def until(
    condition: Callable[[], _Seen],
    what: str,
    *,
    limit_s: float = LIMIT_S,
    step_s: float = STEP_S,
    process: subprocess.Popen[Any] | None = None,
    told: Callable[[], object] | None = None,
) -> _Seen:
    """Ask again and again until the answer is true; that answer.

    Fails after the limit, and as soon as a process has ended that must live meanwhile. A failure names what was awaited
    and the last answer, and asks `told` for the rest: the log of a program, say.
    """
    deadline = time.monotonic() + limit_s
    while not (seen := condition()):
        ended = process is not None and process.poll() is not None
        if ended and (seen := condition()):  # by the last that it did
            return seen
        if ended or time.monotonic() > deadline:
            why = (
                f"ended with status {process.returncode}" if process is not None and ended else f"not in {limit_s:g} s"
            )
            raise AssertionError(f"never: {what}: {why}; last seen: {seen!r}{f'; {told()}' if told else ''}")
        time.sleep(step_s)
    return seen
