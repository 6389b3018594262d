"""When to try again: full-jitter exponential back-off for temporary errors, and a rate that a 429 halves."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from reconcilers.core.errors import Temporary


@dataclass(frozen=True, slots=True)
class Policy:
    """Base 0.5 s, cap 30 s, at most six tries, and a deadline for the whole run on the clock."""

    tries: int = 6
    base_s: float = 0.5
    cap_s: float = 30.0
    deadline: float = float("inf")
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = field(default=random.random)

    def pause_s(self, tried: int, error: Temporary) -> float | None:
        """How long to wait after the nth try failed; None if it was the last."""
        if tried >= self.tries:
            return None
        pause = self.random() * min(self.cap_s, self.base_s * 2 ** (tried - 1))
        if error.retry_after_s is not None:
            pause = max(pause, error.retry_after_s)
        return pause if self.clock() + pause < self.deadline else None


class Rate:
    """A token bucket of `per_s` calls a second; `slow_down` halves it, each success gives a twentieth back."""

    def __init__(self, per_s: float, policy: Policy) -> None:
        self._full = self.per_s = per_s
        self._policy = policy
        self._next = policy.clock()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Block until the next call may start."""
        with self._lock:
            now = self._policy.clock()
            start = max(now, self._next)
            self._next = start + 1 / self.per_s
        if start > now:
            self._policy.sleep(start - now)

    def slow_down(self) -> None:
        """The target said that it is too much."""
        with self._lock:
            self.per_s = max(0.5, self.per_s / 2)

    def recover(self) -> None:
        """A call went well."""
        with self._lock:
            self.per_s = min(self._full, self.per_s + self._full / 20)


def retry_after_s(value: str | None) -> float | None:
    """Seconds out of a `Retry-After` header: a number, or an HTTP date (RFC 9110, 10.2.3); None if neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
