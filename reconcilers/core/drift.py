"""The states that a drift report, the loop and their metrics speak of; and which resources keep drifting.

A resource that was healed three times within an hour has another writer: healing it a fourth time would only be the
next move of a game without end, so it is left as it is and reported.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from reconcilers.core.model import Action, Id, Plan

STATES = {
    Action.CREATE: "missing",
    Action.UPDATE: "drifted",
    Action.DELETE: "orphaned",
    Action.ADOPT: "unmanaged",
    Action.REPLACE: "drifted",
    Action.FORGET: "orphaned",
}
ALL_STATES = ("in_sync", "drifted", "missing", "orphaned", "unmanaged", "unknown")


def states(plan: Plan) -> dict[str, int]:
    """How many resources are in each state; a scope that could not be observed counts as one unknown."""
    if plan.paused:
        return {}
    if not plan.complete:
        return {"unknown": 1}
    counted = Counter(STATES[change.action] for change in plan.changes)
    return {"in_sync": plan.unchanged, **dict(sorted(counted.items()))}


class Oscillation:
    """Remembers when each resource of one scope was healed; `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float], *, times: int = 3, within_s: float = 3600.0) -> None:
        self._clock, self._times, self._within_s = clock, times, within_s
        self._healed: dict[Id, deque[float]] = {}

    def healed(self, ids: Iterable[Id]) -> None:
        """These were just healed."""
        now = self._clock()
        for identity in ids:
            self._healed.setdefault(identity, deque(maxlen=self._times)).append(now)

    def swinging(self) -> frozenset[Id]:
        """Those that were healed as often as is permitted, within the hour that ends now."""
        oldest = self._clock() - self._within_s
        self._healed = {identity: times for identity, times in self._healed.items() if times[-1] >= oldest}
        return frozenset(
            identity for identity, times in self._healed.items() if len(times) == self._times and times[0] >= oldest
        )
