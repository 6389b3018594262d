"""How long to wait before the next try. Pure.

Waits double from `first_s` to `limit_s`, and each is drawn between its half and its whole: a rack that got its power
back does not ask in step. What the server asks for with `Retry-After` is the least that is waited, up to ten minutes,
so that a mistake there does not park a fleet.
"""

from __future__ import annotations

import email.utils
import random
import time
from typing import NamedTuple

MAX_RETRY_AFTER_S = 600.0


class Waits(NamedTuple):
    first_s: float
    limit_s: float


BETWEEN_RUNS = Waits(first_s=2.0, limit_s=60.0)
"""Between two runs of a whole action. A minute is what the original waits each time."""
BETWEEN_REQUESTS = Waits(first_s=0.25, limit_s=8.0)
"""Between two requests that continue one download."""


def wait_s(waits: Waits, failures: int, retry_after_s: float | None, *, draw: float | None = None) -> float:
    """Seconds after this many failures in a row (1 or more); `draw` is a number from 0 to 1, random if None."""
    whole = min(waits.limit_s, waits.first_s * 2.0 ** min(failures - 1, 30))
    drawn = whole * (0.5 + 0.5 * (random.random() if draw is None else draw))
    if retry_after_s is None:
        return drawn
    # The jitter goes on top: a server that tells everybody "in 30 s" gets them spread all the same.
    return min(retry_after_s, MAX_RETRY_AFTER_S) + drawn - whole * 0.5


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, in either of its forms (RFC 9110, 10.2.3); None for nonsense."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        then = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    return max(0.0, then - time.time())
