"""What of a plan is permitted: limits on the live population, acknowledgements, the guard of an emptied desired state.

A limit is evaluated for each scope and kind of resource against what is live and ours. It is exceeded when
`n > max_count`, or when the population is at least `min_population` and `n / population > max_fraction`.
A destructive update counts as a deletion: a host that may no longer boot, a lifecycle rule that deletes more.
All violations of all scopes are found in one run; a scope with one is refused whole, so nothing is half done.
"""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from reconcilers.core.model import Action, Change, Plan, Risk

COUNTED = (Action.DELETE, Action.UPDATE)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max_count` and at most `max_fraction` of the population (0 to 1)."""

    max_count: int
    max_fraction: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one kind; the defaults of the design: a tenth or 25 deletions, three tenths or 500 updates."""

    delete: Limit = Limit(25, 0.10)
    update: Limit = Limit(500, 0.30)
    min_population: int = 10


@dataclass(frozen=True, slots=True)
class LimitSet:
    """Limits of an environment: a default, and stricter or wider ones by kind."""

    default: Limits = field(default_factory=Limits)
    kinds: Mapping[str, Limits] = field(default_factory=dict)

    def of(self, kind: str) -> Limits:
        """The limits that hold for a kind of resource."""
        return self.kinds.get(kind, self.default)


@dataclass(frozen=True, slots=True)
class Allowance:
    """One permission: up to `max` changes of `action` whose `scope/kind/name` matches the glob."""

    action: Action
    match: str
    max: int


@dataclass(frozen=True, slots=True)
class Ack:
    """A reviewed, narrow, expiring permission in git; valid up to and with the day `expires`."""

    file: str
    reason: str
    expires: date
    allow: tuple[Allowance, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The plans with refusals and acknowledgements filled in, and what to tell about the acknowledgements."""

    plans: tuple[Plan, ...]
    warnings: tuple[str, ...]


def check(plans: Sequence[Plan], limits: LimitSet, acks: Sequence[Ack], today: date) -> Verdict:
    """Judge a run. Acknowledgements are spent in order of file; one matching change uses one of `max`."""
    valid = [ack for ack in sorted(acks, key=lambda a: a.file) if ack.expires >= today]
    warnings = [
        f"{ack.file}: expired on {ack.expires}: it permits nothing any more; remove it"
        for ack in acks
        if ack.expires < today
    ]
    left = {(ack.file, i): allowance.max for ack in valid for i, allowance in enumerate(ack.allow)}
    judged = []
    for plan in plans:
        spent = _spend(plan, valid, left)
        judged.append(replace(spent, refused=(*spent.refused, *_violations(spent, limits))))
    for ack in valid:
        for i, allowance in enumerate(ack.allow):
            if left[ack.file, i] == allowance.max:
                warnings.append(
                    f"{ack.file}: unused: no change matches {allowance.action} {allowance.match}; remove it"
                )
    return Verdict(tuple(judged), tuple(warnings))


def _spend(plan: Plan, acks: Iterable[Ack], left: dict[tuple[str, int], int]) -> Plan:
    changes = []
    for change in plan.changes:
        file = None if change.impossible else _permission(plan.scope, change, acks, left)
        if file is not None:
            changes.append(replace(change, ack=file, blocked=None))
        elif change.risk is Risk.IRREVERSIBLE and not change.impossible:
            needed = f"it is irreversible; permit exactly this one: {_entry(plan.scope, change)}"
            changes.append(replace(change, blocked=needed))
        elif change.action is Action.REPLACE and change.blocked is None:
            needed = f"it replaces the live object; permit it: {_entry(plan.scope, change)}"
            changes.append(replace(change, blocked=needed))
        else:
            changes.append(change)
    return replace(plan, changes=tuple(changes))


def _entry(scope: str, change: Change) -> str:
    return f'in config/acks/ with {{action: {change.action}, match: "{scope}/{change.id}", max: 1}}'


def _permission(scope: str, change: Change, acks: Iterable[Ack], left: dict[tuple[str, int], int]) -> str | None:
    if not _needs_permission(change):
        return None
    name = f"{scope}/{change.id}"
    for ack in acks:
        for i, allowance in enumerate(ack.allow):
            exact = allowance.match == name
            # Who names one change exactly may call it what the plan calls it; a glob must name what it counts as.
            if left[ack.file, i] <= 0 or allowance.action not in (counted_as(change), *[change.action] * exact):
                continue
            if exact or (change.risk is not Risk.IRREVERSIBLE and fnmatch.fnmatchcase(name, allowance.match)):
                left[ack.file, i] -= 1
                return ack.file
    return None


def _needs_permission(change: Change) -> bool:
    return change.blocked is not None or counted_as(change) in (*COUNTED, Action.REPLACE)


def counted_as(change: Change) -> Action:
    """The action under which a change counts against a limit."""
    if change.action is Action.UPDATE and change.risk in (Risk.DESTRUCTIVE, Risk.IRREVERSIBLE):
        return Action.DELETE
    if change.action is Action.DELETE and change.moved is not None:
        return Action.UPDATE  # a thing goes on under another name
    return change.action


def _violations(plan: Plan, limits: LimitSet) -> list[str]:
    numbers: dict[tuple[str, Action], int] = defaultdict(int)
    for change in plan.changes:
        if change.blocked is None and change.ack is None and counted_as(change) in COUNTED:
            numbers[change.id.kind, counted_as(change)] += 1
    found = []
    for (kind, action), n in sorted(numbers.items()):
        allowed = limits.of(kind)
        limit = allowed.delete if action is Action.DELETE else allowed.update
        population = plan.population.get(kind, 0)
        exceeded = []
        if n > limit.max_count:
            exceeded.append(f"at most {limit.max_count}")
        if population >= allowed.min_population and n > limit.max_fraction * population + 1e-9:
            exceeded.append(f"at most {limit.max_fraction:.0%} of {population}")
        if exceeded:
            found.append(
                f"{plan.scope}: {action} of {n} {kind} (of {population} live and ours) exceeds the limit of "
                f"{' and '.join(exceeded)}; make the change smaller, or permit it in config/acks/ with "
                f'{{action: {action}, match: "{plan.scope}/{kind}/…", max: {n}}}'
            )
    return found


def guard_emptied(plan: Plan, wanted: int, why: str = "") -> Plan:
    """No deletions where git wants nothing while things of ours are live, or where what it wants is not known whole.

    The first may be meant, and then wants an acknowledgement; the second nobody can mean.
    """
    owned = sum(plan.population.values())
    if (wanted and not why) or not owned:
        return plan
    emptied = (
        f"git wants nothing in this scope while {owned} resources are live; if that is meant, permit it in "
        f'config/acks/ with {{action: delete, match: "{plan.scope}/*", max: {owned}}}'
    )
    changes = tuple(
        replace(c, blocked=f"{why}: nothing is deleted" if why else emptied, impossible=bool(why))
        if c.action is Action.DELETE and c.blocked is None
        else c
        for c in plan.changes
    )
    return replace(plan, changes=changes)
