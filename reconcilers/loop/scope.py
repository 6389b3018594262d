"""One scope of a loop: observe, compare, heal or report, record. Every pass starts from nothing but git and the target.

The scope's lock is taken only when there is something to write, so that an apply from CI never waits for an idle
loop; it is the same lock, in the same place. A lost lock ends the pass at its next write.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from reconcilers.core import cause, drift, engine, policy
from reconcilers.core.errors import MlabError, one_line
from reconcilers.core.model import Cause, Outcome, Plan, Resource, Result
from reconcilers.core.provider import Provider
from reconcilers.core.retry import Policy
from reconcilers.fleet import permissions
from reconcilers.loop.judging import Judged, Leave, judge
from reconcilers.loop.metrics import Metrics
from reconcilers.loop.source import Source
from reconcilers.loop.wanted import Wanted
from reconcilers.providers import pauses, targets
from reconcilers.providers.pauses import Pause
from reconcilers.providers.records import Records
from reconcilers.report import record
from reconcilers.report.audit import Audit

T = TypeVar("T")
LOCK_TTL_S = 45.0
"""Renewed every 15 s."""
_COMMIT = re.compile("[0-9a-f]{40}")
_RECORD = threading.Lock()
"""Scopes of one loop write `applied.json` one after the other, instead of conflicting with each other."""


@dataclass(frozen=True, slots=True)
class State:
    """What `/status` shows of a scope. `state`: in_sync, drifted, blocked, failed, paused, waiting or unknown."""

    scope: str
    state: str = "unknown"
    commit: str = ""
    applied: str = ""
    resources: Mapping[str, int] | None = None
    held: tuple[str, ...] = ()
    error: str = ""
    finished: str = ""
    observed: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all scopes of a loop share."""

    metrics: Metrics
    state: Path
    rendered_at: Callable[[str], Wanted | None]
    """What git wanted at a former commit; None where that cannot be told."""
    source: Source
    """The history, for causes."""
    stopped: threading.Event
    fault: Callable[[str], None]
    say: Callable[[str], None]
    fetch: Callable[[], None]


class Scope:
    """One target of one environment, over all passes: its connection, and what was healed lately."""

    def __init__(self, env: str, target: str, around: Surroundings) -> None:
        self.name = f"{env}/{target}"
        self.env, self.target = env, target
        self.oscillation = drift.Oscillation(time.monotonic)
        self.state = State(self.name)
        self._around = around
        self._provider: Provider | None = None
        self._records: Records | None = None
        self._where: Any = None
        self._record: Mapping[str, Any] | None = None
        self._pending: frozenset[str] = frozenset()
        self._pause: Pause | None = None

    def once(self, wanted: Wanted) -> State:
        """One pass. Never raises: what goes wrong is the scope's state."""
        try:
            found = self._pass(wanted)
        except MlabError as error:
            found = replace(self.state, state="failed", error=one_line(str(error)), commit=wanted.sha)
        if found.state == "failed":
            self.close()
        self.state = replace(found, finished=_now())
        return self.state

    def close(self) -> None:
        """Give back the connection; the next pass makes another."""
        for open_ in (self._provider, self._records):
            if open_ is not None:
                open_.close()
        self._provider = self._records = None

    def _pass(self, wanted: Wanted) -> State:
        environment, metrics = wanted.environment, self._around.metrics
        mode, where = permissions.mode(environment, self.target)
        if mode == "paused":
            metrics.paused(self.target, True)
            return self._left_alone(wanted, f"its mode is `paused` ({where})")
        provider = self._connected(wanted)
        if pause := self._paused():
            metrics.paused(self.target, True, pause.until_s())
            return self._left_alone(wanted, pause.text())
        metrics.paused(self.target, False)
        applied, recorded = self._applied()
        desired: tuple[Resource, ...] | None = wanted.desired.get(self.target, ())
        sha = wanted.sha
        if permissions.follows(environment) == "applied":
            sha, desired = applied, self._former(wanted, applied)
            if desired is None:
                waiting = "nothing is on record as applied" if recorded else "the record cannot be read"
                return State(self.name, "waiting", wanted.sha, applied, error=waiting, observed=True)
        metrics.commit(self.target, "desired", sha)
        metrics.commit(self.target, "applied", applied)
        work = engine.Work(provider, desired or ())
        if ahead := self._around.source.unknown_to(sha, filter(None, [applied])):
            return self._behind(sha, applied, ahead)
        plan = self._timed("observe", lambda: engine.observe(work, Policy(tries=2)), lambda made: made.complete)
        metrics.states(self.target, drift.states(plan))
        if not plan.complete:
            return State(self.name, "failed", sha, applied, drift.states(plan), error="; ".join(plan.problems))
        marks = {c.observed.owner.commit for c in plan.changes if c.observed and c.observed.owner}
        if ahead := self._around.source.unknown_to(sha, filter(_COMMIT.fullmatch, marks)):
            return self._behind(sha, applied, ahead)
        leave = Leave(mode, self._drift_policy(wanted), self.oscillation.swinging(), recorded)
        judged = self._timed("plan", lambda: self._judged(plan, wanted, sha, applied, work, leave), lambda made: True)
        metrics.blocked(self.target, judged.held)
        result = self._apply(wanted, sha, work, judged) if judged.open else _nothing_done(judged)
        if not (result.failed or result.refused):
            applied = self._settle(sha, work, judged, result)
        return self._concluded(sha, applied, plan, judged, result)

    def _left_alone(self, wanted: Wanted, why: str) -> State:
        """Nobody looks at it, let alone writes."""
        return State(self.name, "paused", wanted.sha, self.state.applied, held=(why,), observed=True)

    def _behind(self, sha: str, applied: str, ahead: str) -> State:
        """Somebody applied a commit that is not fetched yet: what it changed is neither drift nor ours to undo."""
        self._around.fetch()
        why = f"{ahead[:7]} was applied there, which {sha[:7]} does not contain: waiting for the next fetch"
        return State(self.name, "waiting", sha, applied, error=why, observed=True)

    def _settle(self, sha: str, work: engine.Work, judged: Judged, result: engine.ScopeResult) -> str:
        """Keep on record that the scope is at this commit; what git wants and may not be done is named in it."""
        assert self._records is not None
        # What is held back as drift is not pending: it was not git that moved.
        caused = [o for o in result.outcomes if o.result is not Result.BLOCKED or o.change.cause is not Cause.DRIFT]
        done = engine.ScopeResult(self.name, judged.plan, caused)
        who = record.holder(f"loop-{secrets.token_hex(3)}", _now())
        ended = record.finished(_now(), self._record)
        entry = record.entry(self.env, sha, self._around.source.tree(), who, ended, [(work, done)])
        wrote = any(o.result is Result.APPLIED for o in result.outcomes)
        added = entry if wrote or record.tells_more(self._record, entry) else None
        with _RECORD:
            notes = [record.write(self._records, self._around.state, self.env, added)]
            notes.append(record.ship(self._records, self._around.state, self.env))
        for note in filter(None, notes):
            self._around.say(f"{self.name}: {note}")
        return sha

    def _concluded(self, sha: str, applied: str, plan: Plan, judged: Judged, result: engine.ScopeResult) -> State:
        held = tuple(f"{c.id}: {c.blocked}" for c in judged.plan.changes if c.blocked) + judged.plan.refused
        failed = [f"{o.change.id}: {o.error}" for o in result.outcomes if o.error and o.result is not Result.BLOCKED]
        refused = [line for line in result.refused if line not in held]
        error = one_line("; ".join([*filter(None, [result.error]), *refused, *result.not_converged, *failed]))
        counted = drift.states(plan)
        if judged.open and not error:
            counted = {"in_sync": plan.unchanged + len(judged.open), **({"drifted": len(held)} if held else {})}
            self._around.metrics.states(self.target, counted)
        if error:
            state = "failed"
        elif judged.plan.refused or set(judged.held) & {"blocked", "limit", "oscillation"}:
            state = "blocked"
        else:
            state = "drifted" if held else "in_sync"
        if state in ("in_sync", "drifted"):
            self._around.metrics.succeeded(self.target, time.time())
        self._around.metrics.commit(self.target, "applied", applied)
        return State(self.name, state, sha, applied, counted, held[:50], error, observed=True)

    def _judged(self, plan: Plan, wanted: Wanted, sha: str, applied: str, work: engine.Work, leave: Leave) -> Judged:
        if plan.changes:
            known = self._history(wanted, sha, applied)
            plan = cause.assign(plan, {resource.id: resource for resource in work.desired}, known)
        today = datetime.now(UTC).date()
        verdict = policy.check([plan], permissions.limits(wanted.environment), wanted.acks, today)
        return judge(verdict.plans[0], leave)

    def _history(self, wanted: Wanted, sha: str, applied: str) -> cause.History | None:
        former = self._former(wanted, applied)
        if former is None:
            return None
        around = self._around
        return cause.History(
            around.source.short(applied),
            {resource.id: resource for resource in former},
            around.source.changed(applied, sha),
            around.source.removed_in,
            self._pending,
        )

    def _former(self, wanted: Wanted, applied: str) -> tuple[Resource, ...] | None:
        if not applied:
            return None
        former = wanted if applied == wanted.sha else self._around.rendered_at(applied)
        return None if former is None else former.desired.get(self.target, ())

    def _apply(self, wanted: Wanted, sha: str, work: engine.Work, judged: Judged) -> engine.ScopeResult:
        around, run = self._around, f"loop-{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(3)}"
        who = record.holder(run, _now())
        audit = Audit(
            around.state / "audit" / f"{self.env}-{run.replace(':', '')}.jsonl",
            {"run": run, "actor": who.actor, "env": self.env, "commit": sha},
        )
        options = engine.Options(
            holder=who,
            commit=sha,
            policy=replace(Policy(), deadline=time.monotonic() + 300),
            lock_ttl_s=min(LOCK_TTL_S, float(wanted.environment.data["lock_ttl_s"])),
            health_timeout_s=float(wanted.environment.data["health_timeout_s"]),
            record=audit,
            listen=around.metrics.event,
            fault=around.fault,
            stopped=around.stopped,
        )
        try:
            result = self._timed(
                "apply",
                lambda: engine.apply([work], [judged.plan], options)[0],
                lambda made: not made.failed and not made.refused,
            )
        finally:
            audit.close()
        done = [o for o in result.outcomes if o.result is not Result.BLOCKED]
        around.metrics.outcomes(self.target, done)
        healed = [o.change.id for o in done if o.result is Result.APPLIED and o.change.cause is Cause.DRIFT]
        self.oscillation.healed(healed)
        return result

    def _applied(self) -> tuple[str, bool]:
        """The commit on record for this scope, and whether the record could be read at all."""
        assert self._records is not None
        try:
            self._record, _ = self._records.read_applied(self.env)
        except MlabError:
            return self.state.applied, False
        known = (self._record or {}).get("scopes", {}).get(self.name, {})
        self._pending = frozenset(map(str, known.get("pending", ())))
        return str(known.get("commit", "")), True

    def _paused(self) -> Pause | None:
        """The pause that holds now. Where it cannot be asked, the last one known is kept to its end."""
        assert self._records is not None
        now = datetime.now(UTC)
        try:
            self._pause = pauses.read(self._records, self.env, now).get(self.target)
        except MlabError:
            if self._pause is not None and self._pause.until <= pauses.stamp(now):
                self._pause = None
        return self._pause

    def _connected(self, wanted: Wanted) -> Provider:
        where = (wanted.environment.data["targets"], wanted.environment.data["monitoring"])
        if self._provider is None or where != self._where:
            self.close()
            self._provider, self._where = targets.connect(self.target, wanted.environment), where
            self._records = Records(wanted.environment)
        return self._provider

    def _drift_policy(self, wanted: Wanted) -> str:
        return str(wanted.environment.data["drift"].get(self.target, "report"))

    def _timed(self, phase: str, call: Callable[[], T], good: Callable[[T], bool]) -> T:
        began = time.monotonic()
        result = "failed"
        try:
            made = call()
            result = "ok" if good(made) else "failed"
            return made
        finally:
            self._around.metrics.ended(self.target, phase, result, time.monotonic() - began)


def _nothing_done(judged: Judged) -> engine.ScopeResult:
    """The result of a pass that had nothing to write: what is blocked, and what is refused."""
    blocked = [Outcome(c, Result.BLOCKED, c.blocked) for c in judged.plan.changes if c.blocked]
    return engine.ScopeResult(judged.plan.scope, judged.plan, blocked, refused=list(judged.plan.refused))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
