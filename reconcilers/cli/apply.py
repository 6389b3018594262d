"""`mlab apply`: plan, show, ask, carry out, verify, record. The only verb that writes at the targets."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from types import FrameType

from reconcilers.cli import approving, faults, planning
from reconcilers.cli.exits import Exit, worst
from reconcilers.cli.session import Session, open_session
from reconcilers.core import engine
from reconcilers.core.errors import Refused
from reconcilers.core.events import Listener
from reconcilers.core.model import Result
from reconcilers.core.provider import Holder
from reconcilers.fleet.model import Environment
from reconcilers.providers.records import Records
from reconcilers.report import colour, record, stream, text
from reconcilers.report.audit import Audit
from reconcilers.report.progress import Progress

GOOD = (Exit.OK, Exit.CHANGES)


def run(given: argparse.Namespace) -> int:
    """Apply each chosen environment in order of promotion; the next one waits for the former to go well."""
    session = open_session(given, live=True)
    environments = session.environments(given.env)
    statuses = []
    for position, environment in enumerate(environments):
        statuses.append(one(session, environment, given))
        left = ", ".join(other.name for other in environments[position + 1 :])
        if statuses[-1] not in GOOD and left:
            print(f"{left}: not begun, since {environment.name} did not go well", file=sys.stderr)
            break
    return worst([*statuses, session.bugs.told()])


def one(session: Session, environment: Environment, given: argparse.Namespace) -> Exit:
    """Plan and apply one environment."""
    with ExitStack() as stack:
        return carry_out(session, environment, planning.make(session, environment, given, stack), given)


def carry_out(session: Session, environment: Environment, planned: planning.Planned, given: argparse.Namespace) -> Exit:
    """Show a plan, ask, apply, record."""
    _refuse_unversioned_changes(planned)
    approving.check(planned.made, given)
    made = planned.made
    who = record.holder(made.run, _now())
    say: Listener = stream.Stream(made.run, sys.stdout) if given.json else lambda event: None
    if given.json:
        stream.planned(made, who.actor, say)
    _show(given, lambda: text.plan(made, verbose=given.verbose))
    if any(not work.part.whole for work in planned.works):
        print("partial run: nothing outside the chosen targets and resources is written or deleted", file=sys.stderr)
    if any(c.blocked is None for plan in made.plans for c in plan.changes if not plan.refused):
        approving.confirm(environment, made, given)
    results, stopped = _carry_out(session, environment, planned, who, say, given)
    status = Exit.INTERRUPTED if stopped else _status(results)
    _show(given, lambda: text.results(results))
    say(stream.summary(made, results, status))
    if stopped:
        raise KeyboardInterrupt
    return status


def _show(given: argparse.Namespace, lines: Callable[[], Iterable[str]]) -> None:
    if not given.json:
        print("\n".join(colour.paint(lines(), on=colour.wanted(given.color, sys.stdout))), flush=True)


def _carry_out(
    session: Session,
    environment: Environment,
    planned: planning.Planned,
    who: Holder,
    say: Listener,
    given: argparse.Namespace,
) -> tuple[list[engine.ScopeResult], bool]:
    """The results, and whether an interrupt ended it."""
    made = planned.made
    audit = Audit(
        session.state / "audit" / f"{environment.name}-{made.run.replace(':', '')}.jsonl",
        {"run": made.run, "actor": who.actor, "env": environment.name, "commit": made.commit},
    )
    fault = faults.from_environment()
    total = sum(c.blocked is None for plan in made.plans if not plan.refused for c in plan.changes)
    with Progress(total, f"apply {environment.name}", quiet=given.quiet) as progress, _interruptible() as stopped:
        options = engine.Options(
            holder=who,
            commit=made.commit,
            policy=planning.retry_policy(given),
            lock_ttl_s=float(environment.data.get("lock_ttl_s", 60)),
            health_timeout_s=float(environment.data.get("health_timeout_s", 300)),
            jobs=given.jobs,
            record=audit,
            listen=stream.both(progress, say),
            fault=fault,
            stopped=stopped,
            on_bug=session.bugs,
        )
        results = engine.apply(planned.works, made.plans, options)
        audit.close()
        fault("record")
        _record(session, environment, planned, results, who, given)
        fault("recorded")
        return results, stopped.is_set()


def _record(
    session: Session,
    environment: Environment,
    planned: planning.Planned,
    results: Sequence[engine.ScopeResult],
    who: Holder,
    given: argparse.Namespace,
) -> None:
    name, commit = environment.name, planned.made.commit
    tree = planned.history.tree() if planned.history else ""
    ended = record.finished(_now(), planned.known.applied)
    entry = record.entry(name, commit, tree, who, ended, zip(planned.works, results, strict=True))
    if not entry["scopes"]:
        return  # all of it is paused: nothing was done there, and nothing is said there
    wrote = any(o.result is Result.APPLIED for result in results for o in result.outcomes)
    added = entry if wrote or record.tells_more(planned.known.applied, entry) else None
    with closing(Records(environment, given.timeout)) as records:
        for note in (record.write(records, session.state, name, added), record.ship(records, session.state, name)):
            if note:
                print(note, file=sys.stderr)


def _refuse_unversioned_changes(planned: planning.Planned) -> None:
    if planned.history is None:
        return
    dirty = planned.history.dirty()
    if dirty:
        more = f" and {len(dirty) - 3} more" if len(dirty) > 3 else ""
        raise Refused(f"uncommitted: {', '.join(dirty[:3])}{more}: only what git holds is applied; commit it first")


def _status(results: Sequence[engine.ScopeResult]) -> Exit:
    found = [Exit.OK]
    for result in results:
        if result.failed:
            found.append(Exit.INCOMPLETE)
        if result.refused or any(o.result is Result.BLOCKED for o in result.outcomes):
            found.append(Exit.REFUSED)
    return worst(found)


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
        print("stopping: writes in flight end, no other is started; once more ends at once", file=sys.stderr)
        self._event.set()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
