"""Why each change is planned: git moved since the last apply, or the target did, or nobody knows.

The last applied commit is on record; rendering it again and comparing it with today's desired state tells the two
apart. Without that record every cause reads `unknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from reconcilers.core import canonical
from reconcilers.core.model import Action, Cause, Change, Id, Plan, Resource, Span

NO_RECORD = "no record of a former apply"
UNREADABLE = "the record of the last apply cannot be read"


@dataclass(frozen=True, slots=True)
class History:
    """What git tells about the way from the last applied commit (`base`, short) to the one being planned.

    `changed` maps each changed file to its first changed line (0 for a removed file).
    """

    base: str
    previous: Mapping[Id, Resource]
    changed: Mapping[str, int]
    removed_in: Callable[[str], str] = lambda file: ""
    pending: frozenset[str] = frozenset()
    """Ids whose change was wanted at `base` already and was blocked then."""


def assign(
    plan: Plan, desired: Mapping[Id, Resource], history: History | None, *, why_unknown: str = NO_RECORD
) -> Plan:
    """The same plan with cause, reason and the most telling place in git on each change.

    Without a history every cause is unknown, and each reason begins with `why_unknown`, up to a semicolon.
    """
    if history is None:
        unknown = (replace(c, cause=Cause.UNKNOWN, reason=_joined(why_unknown, c)) for c in plan.changes)
        return replace(plan, changes=tuple(unknown))
    return replace(plan, changes=tuple(_explained(change, desired.get(change.id), history) for change in plan.changes))


def _explained(change: Change, now: Resource | None, history: History) -> Change:
    before = history.previous.get(change.id)
    source, more = _place(change.source, history)
    if _spec(before) == _spec(now) and str(change.id) in history.pending:
        reason = f"wanted at {history.base} already, and blocked then"
        return replace(change, cause=Cause.CONFIG, reason=_joined(reason, change))
    if _spec(before) == _spec(now):
        reason = _DRIFT.get(change.action, "the live object changed")
        return replace(change, cause=Cause.DRIFT, reason=_joined(reason, change))
    removed_in = history.removed_in(source.file) if change.action is Action.DELETE else ""
    if change.action is Action.DELETE:
        reason = f"not in git since {removed_in}" if removed_in else f"git wants it no more since {history.base}"
    elif before is None:
        reason = f"new since {history.base}"
    else:
        reason = f"changed since {history.base}"
    reason = _joined(reason + more, change)
    return replace(change, cause=Cause.CONFIG, reason=reason, source=source, removed_in=removed_in)


def _joined(reason: str, change: Change) -> str:
    """What the provider said of the risk stands behind the cause."""
    return f"{reason}; {change.reason}" if change.reason else reason


_DRIFT = {
    Action.CREATE: "it is missing at the target",
    Action.DELETE: "it is ours, though git did not want it at the last apply either",
    Action.ADOPT: "it exists without our mark",
}


def _place(source: Span, history: History) -> tuple[Span, str]:
    """A resource made of a whole folder points at what changed in it; one made of a file, at its own line."""
    if not source.file.endswith("/"):
        return source, ""
    inside = sorted(file for file in history.changed if file.startswith(source.file))
    if not inside:
        return source, ""
    more = f" (and {len(inside) - 1} more files in {source.file})" if len(inside) > 1 else ""
    return Span(inside[0], history.changed[inside[0]]), more


def _spec(resource: Resource | None) -> str | None:
    return None if resource is None else canonical.dumps(dict(resource.spec))
