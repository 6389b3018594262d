"""What `mlab adopt` and `mlab forget` share: the chosen resources, a plan of nothing but that, and the apply.

Both write one live thing's mark and go the way of every write: limits, approval, lock, audit, record.
"""

from __future__ import annotations

import argparse
import glob
from contextlib import ExitStack
from dataclasses import replace

from reconcilers.cli import apply, planning
from reconcilers.cli.session import open_session
from reconcilers.core.errors import UsageError
from reconcilers.core.model import Action, Change, Plan
from reconcilers.core.part import Part
from reconcilers.report.run import RunPlan


def run(given: argparse.Namespace, action: Action, nothing: str) -> tuple[int, tuple[Change, ...]]:
    """Plan and apply just these changes of one environment. `nothing` says why there may be none of them."""
    session = open_session(given, live=True)
    (environment,) = session.environments([given.env])
    for name in given.names:
        if name.count("/") < 2 and not any(letter in name for letter in "*?["):
            raise UsageError(f"{name}: name a resource as TARGET/KIND/NAME, for example epoxy/Host/mlab1-abc01.…")
    given.target, given.exclude = given.names, []
    with ExitStack() as stack:
        planned = planning.make(session, environment, given, stack, claim=action)
        planned = _only(planned, action)
        found = tuple(change for plan in planned.made.plans for change in plan.changes)
        if not found and all(plan.complete for plan in planned.made.plans):
            raise UsageError(f"{', '.join(given.names)}: {nothing}")
        status = apply.carry_out(session, environment, planned, given)
    return status, found


def _only(planned: planning.Planned, action: Action) -> planning.Planned:
    """The same plan and works without any other change: what is observed again under the lock is no wider."""
    plans = [_chosen(plan, action) for plan in planned.made.plans]
    works = tuple(
        replace(work, part=Part(tuple(glob.escape(f"{plan.scope.partition('/')[2]}/{c.id}") for c in plan.changes)))
        for work, plan in zip(planned.works, plans, strict=True)
    )
    made: RunPlan = replace(planned.made, plans=tuple(plans))
    return replace(planned, made=made, works=works)


def _chosen(plan: Plan, action: Action) -> Plan:
    return replace(plan, changes=tuple(change for change in plan.changes if change.action is action))
