"""Makes the plan of one scope out of what git wants and what the target has, and names it by a digest.

Pure: a plan depends on nothing but its inputs, is sorted by risk, then id, and two plans of the same inputs are equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from reconcilers.core import canonical, diff
from reconcilers.core.model import (
    RISK_ORDER,
    Action,
    Change,
    Id,
    Json,
    Observed,
    Owner,
    Plan,
    Resource,
    Risk,
    Span,
)

OWNER = "mlab"
"""What our marks name as the owner."""
UNMARKED = "it exists without our mark: name it in `ownership.adopt` of the environment, or let its owner remove it"


@dataclass(frozen=True, slots=True)
class Rules:
    """The two pure parts of a provider that planning needs, and the key of digests of sensitive values."""

    normalise: Callable[[Resource], Json]
    assess: Callable[[Change], Change]
    key: bytes = b""


def scope_environment(scope: str) -> str:
    """The environment of `<environment>/<target>`."""
    return scope.partition("/")[0]


def ours(owner: Owner | None, scope: str) -> bool:
    """True if the mark names us, this environment and this scope; a copied mark of another one is not ours."""
    return (
        owner is not None
        and owner.owner == OWNER
        and owner.env == scope_environment(scope)
        and owner.scope in ("", scope)
    )


def make(scope: str, desired: Iterable[Resource], observed: Iterable[Observed], rules: Rules) -> Plan:
    """Match by id and compare owned fields; see `policy` for what is then permitted."""
    want = {resource.id: resource for resource in desired}
    have = {item.id: item for item in observed}
    changes: list[Change] = []
    unchanged = 0
    renames = dict(_renames(scope, want, have))
    for identity in sorted(want.keys() | have.keys(), key=_by_id):
        change = _one(scope, want.get(identity), have.get(identity), rules)
        if change is None:
            unchanged += identity in want
        else:
            changes.append(rules.assess(_renamed(change, renames, have, rules)))
    population = Counter(identity.kind for identity, item in have.items() if ours(item.owner, scope))
    return Plan(scope, tuple(sorted(changes, key=sort_key)), unchanged, dict(sorted(population.items())))


_by_id = attrgetter("kind", "name")
"""The order of ids, compared as tuples: thousands of them by their own method take longer than the plan."""


def letting_go(scope: str, observed: Iterable[Observed]) -> Plan:
    """Everything of ours loses our mark and stays as it is; what bears none of ours is no concern of it."""
    items = [item for item in observed if ours(item.owner, scope)]
    changes = (
        Change(
            Action.FORGET,
            item.id,
            None,
            item,
            risk=Risk.DISRUPTIVE,
            source=Span(item.owner.source if item.owner else ""),
            reason="it stays, and nobody here manages it any more",
        )
        for item in items
    )
    population = Counter(item.id.kind for item in items)
    return Plan(scope, tuple(sorted(changes, key=sort_key)), population=dict(sorted(population.items())))


def _renames(scope: str, want: Mapping[Id, Resource], have: Mapping[Id, Observed]) -> Iterable[tuple[Id, Id]]:
    """Pairs of old and new name, each way round, of what is ours under its old name and not there under its new."""
    for resource in want.values():
        old = resource.moved_from
        if old is None:
            continue
        if old in have and old not in want and resource.id not in have and ours(have[old].owner, scope):
            yield old, resource.id
            yield resource.id, old


def _renamed(change: Change, renames: Mapping[Id, Id], have: Mapping[Id, Observed], rules: Rules) -> Change:
    """A creation shows only what differs from the old thing; a deletion says under which name it goes on."""
    other = renames.get(change.id)
    if other is None:
        return change
    if change.desired is None:
        return replace(change, moved=other, reason=f"renamed to {other}")
    wanted = change.desired
    found = diff.fields(have[other].spec, rules.normalise(wanted), sensitive=wanted.sensitive, key=rules.key)
    return replace(change, moved=other, fields=found, reason=f"renamed from {other}")


def one(scope: str, resource: Resource | None, item: Observed | None, rules: Rules) -> Change | None:
    """The change of a single resource, as `make` would plan it; None if there is nothing to do."""
    change = _one(scope, resource, item, rules)
    return None if change is None else rules.assess(change)


def _one(scope: str, resource: Resource | None, item: Observed | None, rules: Rules) -> Change | None:
    if resource is not None and item is not None:
        after = rules.normalise(resource)
        found = diff.fields(item.spec, after, sensitive=resource.sensitive, key=rules.key)
        if ours(item.owner, scope):
            if not found:
                return None
            return Change(Action.UPDATE, resource.id, resource, item, found, source=resource.span)
        return _adoption(resource, item, found)
    if resource is not None:
        found = diff.fields({}, rules.normalise(resource), sensitive=resource.sensitive, key=rules.key)
        return Change(Action.CREATE, resource.id, resource, None, found, source=resource.span)
    if item is not None and ours(item.owner, scope):
        assert item.owner is not None
        protected = "it is protected: remove the live protection mark first" if item.protect else None
        found = diff.fields(item.spec, {})
        return Change(
            Action.DELETE,
            item.id,
            None,
            item,
            found,
            risk=Risk.DESTRUCTIVE,
            source=Span(item.owner.source),
            blocked=protected,
            impossible=item.protect,
        )
    return None


def _adoption(resource: Resource, item: Observed, found: tuple[Any, ...]) -> Change:
    mark = item.owner
    blocked = None
    if mark is not None:
        blocked = f"another owner manages it: {mark.owner or '?'} ({mark.env or '?'}, {mark.scope or '?'})"
    elif not resource.adopt:
        blocked = UNMARKED
    return Change(
        Action.ADOPT,
        resource.id,
        resource,
        item,
        found,
        risk=Risk.DISRUPTIVE,
        source=resource.span,
        blocked=blocked,
        impossible=item.owner is not None,
    )


def sort_key(change: Change) -> tuple[int, Id]:
    """Worst first, then by id."""
    return RISK_ORDER[change.risk], change.id


def change_key(scope: str, change: Change) -> str:
    """Digest of one change: what would be written over which owned fields.

    Version tokens are left out, since a status writer may bump them at any time.
    """
    shown = [[list(f.path), f.after] for f in change.fields]
    before: Any = None
    if change.observed is not None:
        hidden = [[list(f.path), f.before] for f in change.fields if f.sensitive]
        before = hidden or canonical.sha256(dict(change.observed.spec))
    return canonical.sha256([scope, str(change.id), change.action.value, shown, before])


def keys(plan: Plan) -> Mapping[str, Change]:
    """Each change of the plan by its digest."""
    return {change_key(plan.scope, change): change for change in plan.changes}


def digest(plan: Plan) -> str:
    """SHA-256 over the plan's changes and whether it is complete; what a reviewer approves."""
    return canonical.sha256([plan.scope, plan.complete, sorted(keys(plan))])


def run_digest(plans: Iterable[Plan]) -> str:
    """The digest of a whole run: that of its scopes', in order of scope."""
    return canonical.sha256(sorted([plan.scope, digest(plan)] for plan in plans))


def counts(plans: Iterable[Plan]) -> dict[str, int]:
    """How many changes of each action, blocked ones apart, and how many resources stay as they are."""
    total: Counter[str] = Counter({action.value: 0 for action in Action})
    total["blocked"] = total["unchanged"] = 0
    for plan in plans:
        total["unchanged"] += plan.unchanged
        for change in plan.changes:
            total["blocked" if change.blocked else change.action.value] += 1
    return dict(total)


def incomplete(scope: str, problem: str) -> Plan:
    """The plan of a scope that could not be observed: nothing is known, so nothing may be pruned."""
    return Plan(scope, complete=False, problems=(problem,))
