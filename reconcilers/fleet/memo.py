"""Remembers what a pure function made of a fleet.

Three environments and four targets each ask for the same derived values in one run. A fleet holds mappings and has no
hash, so it is told apart by identity; the last fleet asked about is kept alive, no other.

The results are thousands of small values that live as long as their fleet and hold no cycles. The collector is off
while they are made: looking for cycles among them and all of the configuration trebles the time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from reconcilers.core import collector
from reconcilers.fleet.model import Fleet

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class OfFleet(Generic[K, T]):
    """A pure function of a fleet and one key, remembering its results for the last fleet.

    Fleet and results are one attribute, so that two threads can at worst compute the same value twice.
    """

    def __init__(self, function: Callable[[Fleet, K], T]) -> None:
        self._function = function
        self._last: tuple[Fleet, dict[K, T]] | None = None

    def __call__(self, fleet: Fleet, key: K) -> T:
        last = self._last
        if last is None or last[0] is not fleet:
            last = (fleet, {})
            self._last = last
        if key not in last[1]:
            with collector.paused():
                last[1][key] = self._function(fleet, key)
        return last[1][key]
