"""Random waits, so that a fleet's machines do not all upload at once: exponential, kept between two limits."""

from __future__ import annotations

import random
from dataclasses import dataclass

_CHANCE = random.SystemRandom()
"""Its own, so that nobody else's seed makes a fleet wait alike."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds. `max_s` 0: no limit."""

    min_s: float
    expected_s: float
    max_s: float

    def error(self) -> str:
        """Why these three do not fit together; `""`: they do."""
        if 0 <= self.min_s <= self.expected_s and (self.max_s == 0 or self.expected_s <= self.max_s):
            return ""
        return f"{self.min_s:g} s, {self.expected_s:g} s, {self.max_s:g} s are not minimum <= expected <= maximum"

    def draw(self) -> float:
        """One wait."""
        drawn = _CHANCE.expovariate(1 / self.expected_s) if self.expected_s else 0.0
        return max(self.min_s, min(drawn, self.max_s) if self.max_s else drawn)

    def longest(self) -> float:
        """What is waited for a bundle of a day that is over: few files come, and small archives burden all readers."""
        return self.max_s or self.expected_s


FIRST_RETRY_S = 0.1
LAST_RETRY_S = 300.0
LOCAL_RETRY_S = 5.0
"""What the own disk or a limit of the process refused costs nobody anything to try again."""


def retry_s(failures: int, asked_s: float, limit_s: float = LAST_RETRY_S) -> float:
    """After so many failures: 0.1 s doubling to between 2.5 and 5 minutes, and never before the store wants it."""
    wait = FIRST_RETRY_S * 2.0 ** min(failures - 1, 20)
    wait = wait * _CHANCE.uniform(0.75, 1.25) if wait <= limit_s else _CHANCE.uniform(limit_s / 2, limit_s)
    return max(wait, asked_s)
