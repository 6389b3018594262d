"""`mlab drift`: have the targets moved away from what was last applied? Git's newer commits do not count."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconcilers.cli import keeping, planning, recorded, selection
from reconcilers.cli.exits import Exit, worst
from reconcilers.cli.session import Session, open_session
from reconcilers.core import drift, engine
from reconcilers.core import plan as planning_core
from reconcilers.core.model import Cause, Id, Plan, Resource
from reconcilers.fleet.model import Environment
from reconcilers.load.history import open_history
from reconcilers.report import colour, text


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
            on = colour.wanted(given.color, sys.stdout)
            for plan in plans:
                print("\n".join(colour.paint(_lines(environment, plan, verbose=given.verbose), on=on)), flush=True)
    if given.out:
        keeping.whole(Path(given.out), json.dumps(found, ensure_ascii=False))
    if given.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    told = [*statuses, session.bugs.told()]
    return worst(Exit.OK if given.changes_ok and status is Exit.CHANGES else status for status in told)


def _drift(session: Session, environment: Environment, given: argparse.Namespace) -> list[Plan]:
    """The scopes of an environment. Without the record of the last apply nothing can be said of any of them."""
    chosen = selection.chosen(environment, given.target, given.exclude)
    known = recorded.read(environment, chosen, given.timeout)
    paused = {target: known.paused(environment, target) for target in chosen}
    if known.applied_error:
        why = f"the record of the last apply cannot be read: {known.applied_error}"
        return [
            Plan(scope, paused=paused[target]) if paused[target] else planning_core.incomplete(scope, why)
            for target in chosen
            for scope in (f"{environment.name}/{target}",)
        ]
    for line in known.unreadable():
        print(f"{environment.name}: {line}", file=sys.stderr)
    last = _LastApplied(session, environment, known.applied)
    with ExitStack() as stack:
        works, reasons = [], []
        for target, part in chosen.items():
            desired, reason = ((), "") if paused[target] else last.wanted(target)
            works.append(planning.work(environment, target, desired, part, given.timeout, stack, paused[target]))
            reasons.append(reason)
        plans = engine.observe_all(works, planning.retry_policy(given), session.bugs)
    return [
        replace(plan, changes=tuple(replace(c, cause=Cause.DRIFT, reason=reason) for c in plan.changes))
        for plan, reason in zip(plans, reasons, strict=True)
    ]


class _LastApplied:
    """What git wanted at the commit that was last applied to a scope; each commit is rendered once."""

    def __init__(self, session: Session, environment: Environment, record: Mapping[str, Any] | None) -> None:
        self._session, self._environment, self._record = session, environment, record
        self._history = open_history(session.checkout)
        self._rendered: dict[str, dict[str, dict[Id, Resource]]] = {}

    def wanted(self, target: str) -> tuple[Sequence[Resource], str]:
        """The resources of a target, and what a difference from them means."""
        scope = f"{self._environment.name}/{target}"
        base, _ = planning.base_of(scope, self._record)
        differs = f"differs from {base[:7]}, the last applied commit"
        if not base or self._history is None or not self._history.has(base):
            return self._today(target), "no record of a former apply: compared with this checkout"
        if base == self._history.head().sha and not self._history.dirty():
            return self._today(target), differs
        if base not in self._rendered:
            targets = self._environment.data["targets"]
            self._rendered[base] = planning.rendered_at(
                self._session, self._environment, self._history, base, list(targets)
            )
        former = self._rendered[base].get(scope)
        if former is None:
            return self._today(
                target
            ), f"the last applied commit {base[:7]} cannot be rendered: compared with this checkout"
        return tuple(former.values()), differs

    def _today(self, target: str) -> Sequence[Resource]:
        return self._session.render(self._environment, [target])[target]


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
        "paused": plan.paused or None,
        "policy": _policy(environment, plan),
        "states": drift.states(plan),
        "problems": list(plan.problems),
        "changes": [
            {"id": str(c.id), "state": drift.STATES[c.action], "fields": [list(f.path) for f in c.fields]}
            for c in plan.changes
        ],
    }


def _lines(environment: Environment, plan: Plan, *, verbose: bool) -> Iterator[str]:
    if plan.paused:
        yield f"{plan.scope}: left alone: {plan.paused}"
        return
    sums = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in drift.states(plan).items())
    after = f"   (policy: {_policy(environment, plan)}; `mlab apply` heals)" if plan.changes else ""
    yield f"{plan.scope}: {sums}{after}"
    yield from (f"  ! {plan.scope}: {problem}" for problem in plan.problems)
    yield from text.changes(plan.changes, verbose=verbose)
