"""`mlab drift`: have the targets moved away from what was last applied? Git's newer commits do not count."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from reconcilers.cli import planning
from reconcilers.cli.exits import Exit, worst
from reconcilers.cli.session import Session, open_session
from reconcilers.core import engine
from reconcilers.core.errors import MlabError, Temporary
from reconcilers.core.model import Action, Cause, Plan
from reconcilers.fleet.model import Environment
from reconcilers.load.history import open_history
from reconcilers.providers import targets
from reconcilers.providers.records import Records
from reconcilers.report import text

STATES = {
    Action.CREATE: "missing",
    Action.UPDATE: "drifted",
    Action.DELETE: "orphaned",
    Action.ADOPT: "unmanaged",
    Action.REPLACE: "drifted",
    Action.FORGET: "orphaned",
}


def run(given: argparse.Namespace) -> int:
    """Report the state of every owned resource: in sync, drifted, missing, orphaned, unmanaged or unknown."""
    session = open_session(given, live=True)
    found = []
    statuses = []
    for environment in session.environments(given.env):
        plans = _drift(session, environment, given)
        found.append({"env": environment.name, "scopes": [_as_json(environment, plan) for plan in plans]})
        statuses += [_status(plan) for plan in plans]
        if not given.json:
            for plan in plans:
                print("\n".join(_lines(environment, plan, verbose=given.verbose)))
    if given.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    return worst(statuses)


def states(plan: Plan) -> dict[str, int]:
    """How many resources are in each state."""
    if not plan.complete:
        return {"unknown": 1}
    counted = Counter(STATES[change.action] for change in plan.changes)
    return {"in_sync": plan.unchanged, **dict(sorted(counted.items()))}


def _drift(session: Session, environment: Environment, given: argparse.Namespace) -> list[Plan]:
    history = open_history(session.root)
    record: Mapping[str, Any] | None
    try:
        record, _ = Records(environment).read_applied(environment.name)
    except MlabError as error:
        raise Temporary(f"{environment.name}: the record of the last apply cannot be read: {error}") from error
    chosen = planning.chosen_targets(environment, given.target)
    current = session.render(environment, chosen)
    plans = []
    with ExitStack() as stack:
        for target, only in chosen.items():
            provider = targets.connect(target, environment)
            stack.callback(provider.close)
            base = planning.base_of(provider.scope, record)
            desired, note = current[target], ""
            if not base or history is None or not history.has(base):
                note = "no record of a former apply: compared with this checkout"
            elif base != history.head().sha:
                former = planning.rendered_at(session, environment, history, base).get(provider.scope)
                if former is None:
                    note = f"the last applied commit {base[:7]} cannot be rendered: compared with this checkout"
                else:
                    desired = tuple(former.values())
            plan = engine.observe(engine.Work(provider, desired, only=only), planning.retry_policy(given))
            reason = note or f"differs from {base[:7]}, the last applied commit"
            changes = tuple(replace(c, cause=Cause.DRIFT, reason=reason) for c in plan.changes)
            plans.append(replace(plan, changes=changes))
    return plans


def _status(plan: Plan) -> Exit:
    if not plan.complete:
        return Exit.INCOMPLETE
    return Exit.CHANGES if plan.changes else Exit.OK


def _policy(environment: Environment, plan: Plan) -> str:
    return str(environment.data.get("drift", {}).get(plan.scope.partition("/")[2], "report"))


def _as_json(environment: Environment, plan: Plan) -> dict[str, Any]:
    return {
        "scope": plan.scope,
        "complete": plan.complete,
        "policy": _policy(environment, plan),
        "states": states(plan),
        "problems": list(plan.problems),
        "changes": [
            {"id": str(c.id), "state": STATES[c.action], "fields": [list(f.path) for f in c.fields]}
            for c in plan.changes
        ],
    }


def _lines(environment: Environment, plan: Plan, *, verbose: bool) -> Iterator[str]:
    sums = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in states(plan).items())
    after = f"   (policy: {_policy(environment, plan)}; `mlab apply` heals)" if plan.changes else ""
    yield f"{plan.scope}: {sums}{after}"
    yield from (f"  ! {problem}" for problem in plan.problems)
    yield from text.changes(plan.changes, verbose=verbose)
