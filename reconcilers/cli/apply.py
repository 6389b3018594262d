"""`mlab apply`: plan, show, ask, carry out, verify, record. The only verb that writes at the targets."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from reconcilers.cli import faults, planning, record
from reconcilers.cli.exits import Exit, worst
from reconcilers.cli.session import Session, open_session
from reconcilers.core import approval, engine
from reconcilers.core.errors import Refused, UsageError
from reconcilers.core.model import Plan, Result
from reconcilers.core.provider import Holder
from reconcilers.fleet import permissions
from reconcilers.fleet.model import Environment
from reconcilers.providers.records import Records
from reconcilers.report import text
from reconcilers.report.audit import Audit
from reconcilers.report.progress import Progress
from reconcilers.report.run import as_json, read_approval

GUARDED = ("production",)
"""Environments that are never applied unseen: without a terminal they want an approved plan or its digest."""


def run(given: argparse.Namespace) -> int:
    """Apply each chosen environment in order of promotion; the next one waits for the former to go well."""
    session = open_session(given, live=True)
    statuses = []
    for environment in session.environments(given.env):
        status = _apply(session, environment, given)
        statuses.append(status)
        if status not in (Exit.OK, Exit.CHANGES):
            break
    return worst(statuses)


def _apply(session: Session, environment: Environment, given: argparse.Namespace) -> Exit:
    with ExitStack() as stack:
        planned = planning.make(session, environment, given, stack)
        _refuse_unversioned_changes(planned)
        _check_approval(planned, given)
        works, plans = _permitted(environment, planned)
        if not given.json:
            print("\n".join(text.plan(planned.made, verbose=given.verbose)), flush=True)
        if given.target and any(work.only for work in works):
            print("partial run: nothing outside --target is written or deleted", file=sys.stderr)
        open_changes = [c for plan in plans for c in plan.changes if c.blocked is None and not plan.refused]
        if open_changes:
            _confirm(environment, planned, given)
        results = _carry_out(session, environment, planned, works, plans, given)
    if given.json:
        print(json.dumps({"plan": as_json(planned.made), "results": [_as_json(r) for r in results]}, indent=1))
    else:
        print("\n".join(text.results(results)), flush=True)
    return _status(results)


def _carry_out(
    session: Session,
    environment: Environment,
    planned: planning.Planned,
    works: Sequence[engine.Work],
    plans: Sequence[Plan],
    given: argparse.Namespace,
) -> list[engine.ScopeResult]:
    started = _now()
    who = record.holder(planned.made.run, started)
    audit = Audit(
        session.state / "audit" / f"{environment.name}-{planned.made.run.replace(':', '')}.jsonl",
        {"run": planned.made.run, "actor": who.actor, "env": environment.name, "commit": planned.made.commit},
    )
    fault = faults.from_environment()
    total = sum(c.blocked is None for plan in plans for c in plan.changes)
    with Progress(total, f"apply {environment.name}", quiet=given.quiet) as progress, _interruptible() as stopped:
        options = engine.Options(
            holder=who,
            commit=planned.made.commit,
            policy=planning.retry_policy(given),
            lock_ttl_s=float(environment.data.get("lock_ttl_s", 60)),
            health_timeout_s=float(environment.data.get("health_timeout_s", 300)),
            jobs=given.jobs,
            record=audit,
            listen=progress,
            fault=fault,
            stopped=stopped,
        )
        results = engine.apply(works, plans, options)
        audit.close()
        fault("record")
        _record(session, environment, planned, results, who)
        fault("recorded")
        if stopped.is_set():
            print("\n".join(text.results(results)), flush=True)
            raise KeyboardInterrupt
    return results


def _record(
    session: Session,
    environment: Environment,
    planned: planning.Planned,
    results: Sequence[engine.ScopeResult],
    who: Holder,
) -> None:
    wrote = any(o.result is Result.APPLIED for result in results for o in result.outcomes)
    former = planned.record
    known = former is not None and all(
        former.get("scopes", {}).get(r.scope, {}).get("commit") == planned.made.commit for r in results
    )
    records = Records(environment)
    if wrote or not known:
        tree = planned.history.tree() if planned.history else ""
        added = record.entry(environment.name, planned.made.commit, tree, who, _now(), results)
        if note := record.write(records, session.state, added):
            print(note, file=sys.stderr)
    if note := record.ship(records, session.state, environment.name):
        print(note, file=sys.stderr)


def _refuse_unversioned_changes(planned: planning.Planned) -> None:
    if planned.history is None:
        return
    dirty = planned.history.dirty()
    if dirty:
        more = f" and {len(dirty) - 3} more" if len(dirty) > 3 else ""
        raise Refused(f"uncommitted: {', '.join(dirty[:3])}{more}: only what git holds is applied; commit it first")


def _check_approval(planned: planning.Planned, given: argparse.Namespace) -> None:
    made = planned.made
    if given.digest is not None:
        if len(given.digest) < 12:
            raise UsageError(f"--digest {given.digest}: give at least its first 12 characters")
        if not made.digest.startswith(given.digest):
            raise Refused(
                f"{made.env}: the plan is now {made.digest[:12]}, not {given.digest}: it changed since its approval; "
                f"see `mlab plan --env {made.env}`"
            )
    if given.plan is not None:
        approved = read_approval(Path(given.plan), made.env)
        extra = [line for plan in made.plans for line in approval.excess(plan, approved)]
        if extra:
            shown = "; ".join(extra[:10]) + (f" and {len(extra) - 10} more" if len(extra) > 10 else "")
            raise Refused(f"{given.plan}: these changes were not approved: {shown}; plan and approve again")


def _permitted(environment: Environment, planned: planning.Planned) -> tuple[list[engine.Work], list[Plan]]:
    """Scopes whose mode is not `apply` show their plan and are refused if it holds changes."""
    plans = []
    for plan in planned.made.plans:
        mode = permissions.mode(environment, plan.scope.partition("/")[2])
        if mode != "apply" and plan.changes:
            line = f"{plan.scope}: its mode is `{mode}` in {environment.span.file}; nothing is written there"
            plans.append(replace(plan, refused=(*plan.refused, line)))
        else:
            plans.append(plan)
    return list(planned.works), plans


def _confirm(environment: Environment, planned: planning.Planned, given: argparse.Namespace) -> None:
    guarded = environment.name in GUARDED
    if given.yes and (not guarded or given.plan or given.digest or sys.stdin.isatty()):
        return
    if given.yes:
        raise Refused(
            f"{environment.name} is not applied unseen: plan it with --out FILE, have it approved, and give "
            f"--plan FILE, or --digest {planned.made.digest[:12]}"
        )
    if not sys.stdin.isatty():
        raise UsageError("apply asks before it writes; without a terminal give --yes")
    print(f"project {environment.project}", file=sys.stderr)
    for name, target in environment.data["targets"].items():
        print(f"  {name}: {_address(target)}", file=sys.stderr)
    answer = input(f"Type {environment.name} to apply this plan: ")
    if answer.strip() != environment.name:
        raise Refused(f"the answer was not {environment.name}: nothing is written")


def _address(target: object) -> str:
    if not isinstance(target, dict):
        return "?"
    for key in ("url", "endpoint", "prometheus_url", "directory", "context", "kubeconfig"):
        value = target.get(key)
        if value:
            return str(value.get("secretRef", value)) if isinstance(value, dict) else str(value)
    return "the default of its client"


def _status(results: Sequence[engine.ScopeResult]) -> Exit:
    found = [Exit.OK]
    for result in results:
        if result.failed:
            found.append(Exit.INCOMPLETE)
        if result.refused or any(o.result is Result.BLOCKED for o in result.outcomes):
            found.append(Exit.REFUSED)
    return worst(found)


def _as_json(result: engine.ScopeResult) -> dict[str, object]:
    return {
        "scope": result.scope,
        "error": result.error,
        "refused": result.refused,
        "not_converged": result.not_converged,
        "outcomes": [
            {
                "id": str(o.change.id),
                "action": o.change.action.value,
                "result": o.result.value,
                "error": o.error,
                "tries": o.tries,
                "ms": o.ms,
            }
            for o in result.outcomes
        ],
    }


class _interruptible:
    """The first ^C or SIGTERM lets requests in flight end and starts none; a second one ends at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._former: dict[int, object] = {}

    def __enter__(self) -> threading.Event:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._stop)
        return self._event

    def __exit__(self, *error: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)  # type: ignore[arg-type]

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._event.is_set():
            raise KeyboardInterrupt
        print("stopping: writes in flight end, no other is started", file=sys.stderr)
        self._event.set()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
