"""Which changes of a judged plan a loop may make by itself. Pure.

A change that git caused is made where the mode is `apply`. Drift is healed only where the environment says `heal`,
and not for a resource that somebody changes back again and again. What may not be made stays in the plan, blocked,
with the reason that `/status` shows and a count that the metrics carry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from reconcilers.core.model import Cause, Change, Id, Plan


@dataclass(frozen=True, slots=True)
class Leave:
    """What the loop is permitted in one scope."""

    mode: str
    """`apply` or `plan`."""
    drift: str
    """`heal` or `report`."""
    swinging: Collection[Id] = ()
    """Resources that were healed too often."""
    recorded: bool = True
    """False while the record of the last apply is out of reach: then nobody knows what is drift."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The plan as it may be applied, and how many changes are held back, by reason."""

    plan: Plan
    held: Mapping[str, int]

    @property
    def open(self) -> list[Change]:
        """What is to be done."""
        return [] if self.plan.refused else [change for change in self.plan.changes if change.blocked is None]


def judge(plan: Plan, leave: Leave) -> Judged:
    """Block what the loop may not do."""
    held: Counter[str] = Counter()
    changes = []
    for change in plan.changes:
        reason, words = _objection(change, leave)
        if reason:
            held[reason] += 1
            change = change if change.blocked else replace(change, blocked=words)
        changes.append(change)
    if plan.refused:
        held["limit"] += sum(change.blocked is None for change in changes)
    return Judged(replace(plan, changes=tuple(changes)), dict(held))


def _objection(change: Change, leave: Leave) -> tuple[str, str]:
    if change.blocked:
        return "blocked", change.blocked
    if leave.mode != "apply":
        return "policy", f"the scope's mode is `{leave.mode}`"
    drifted = change.cause is Cause.DRIFT or (change.cause is Cause.UNKNOWN and not leave.recorded)
    if drifted and leave.drift != "heal":
        unknown = "" if change.cause is Cause.DRIFT else ", and without the last record every change may be drift"
        return "policy", f"drift is reported here, not healed{unknown}; `mlab apply` heals it"
    if drifted and change.id in leave.swinging:
        note = change.observed.note if change.observed else ""
        who = f" ({note})" if note else ""
        return "oscillation", f"healed three times within an hour{who}: find the other writer, or change git"
    return "", ""
