"""The subset rule: an apply may do what was approved, or less of it, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from reconcilers.core import plan as planning
from reconcilers.core.model import Plan


@dataclass(frozen=True, slots=True)
class Approval:
    """What a reviewer approved: change digests by scope, or only the digest of the whole run."""

    keys: Mapping[str, Collection[str]] | None = None
    digest: str | None = None


def of(plans: Sequence[Plan]) -> Approval:
    """An approval of exactly these plans."""
    return Approval({plan.scope: frozenset(planning.keys(plan)) for plan in plans}, planning.run_digest(plans))


def excess(fresh: Plan, approved: Approval) -> list[str]:
    """The changes of a fresh plan that nobody approved, one line each; empty if it may be applied."""
    if approved.keys is None:
        return []
    allowed = approved.keys.get(fresh.scope, ())
    return [
        f"{fresh.scope}/{change.id}: {change.action}"
        for key, change in planning.keys(fresh).items()
        if key not in allowed and change.blocked is None
    ]
