"""The subset rule: an apply may do what was approved, or less of it, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from reconcilers.core import plan as planning
from reconcilers.core.model import Plan

Approval = Mapping[str, Collection[str]]
"""What a reviewer approved: digests of changes, by scope."""


def of(plans: Sequence[Plan]) -> Approval:
    """An approval of exactly these plans."""
    return {plan.scope: frozenset(planning.keys(plan)) for plan in plans}


def excess(fresh: Plan, approved: Approval) -> list[str]:
    """The changes of a fresh plan that nobody approved, one line each; empty if it may be applied."""
    allowed = approved.get(fresh.scope, ())
    return [
        f"{fresh.scope}/{change.id}: {change.action}"
        for key, change in planning.keys(fresh).items()
        if key not in allowed and change.blocked is None
    ]
