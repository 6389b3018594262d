"""Carries out judged plans: lock, observe again, write what was approved, wait for health, prune last, verify.

Scopes run side by side. Creations and updates of all scopes come first, monitoring's after the others'; deletions come
when a scope's writes all succeeded, monitoring's first: nothing is probed that is gone, nothing gone is still probed.
An error ends one scope and no other.
"""

from __future__ import annotations

import fnmatch
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from reconcilers.core import approval, order, policy, writes
from reconcilers.core import plan as planning
from reconcilers.core.errors import Conflict, MlabError, Refused, Temporary, one_line
from reconcilers.core.events import Event, Listener
from reconcilers.core.keeper import Keeper
from reconcilers.core.model import Action, Change, HealthState, Id, Observed, Outcome, Owner, Plan, Resource, Result
from reconcilers.core.provider import Context, Holder, Prepared, Provider, Staged
from reconcilers.core.retry import Policy, Rate

LAST_TARGETS = ("monitoring",)
"""Targets written after all others and pruned before them."""


@dataclass(frozen=True, slots=True)
class Work:
    """One scope's part of a run: its target and what git wants there; `whole` is False if rendering failed in part."""

    provider: Provider
    desired: tuple[Resource, ...]
    whole: bool = True
    only: tuple[str, ...] = ()
    """Globs on `target/kind/name`: a partial run changes, and prunes, nothing else."""

    @property
    def scope(self) -> str:
        """`<environment>/<target>`."""
        return self.provider.scope

    def rules(self) -> planning.Rules:
        """The provider's pure parts."""
        return planning.Rules(self.provider.normalise, self.provider.assess)


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is carried out."""

    holder: Holder
    commit: str
    policy: Policy = field(default_factory=Policy)
    lock_ttl_s: float = 60.0
    health_timeout_s: float = 300.0
    jobs: int = 16
    record: Callable[[Mapping[str, Any]], None] = lambda line: None
    listen: Listener = lambda event: None
    fault: Callable[[str], None] = lambda point: None
    stopped: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class ScopeResult:
    """What became of one scope."""

    scope: str
    plan: Plan
    outcomes: list[Outcome] = field(default_factory=list)
    error: str = ""
    refused: list[str] = field(default_factory=list)
    not_converged: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """True if any part of it did not come about for another reason than a refusal."""
        bad = {Result.APPLIED, Result.UNCHANGED, Result.BLOCKED}
        return bool(self.error or self.not_converged) or any(o.result not in bad for o in self.outcomes)


def observe(work: Work, policy_: Policy | None = None) -> Plan:
    """Plan one scope. What cannot be observed is an incomplete plan, never an exception."""
    retry = policy_ or Policy(tries=3)
    if isinstance(work.provider, Prepared):
        work.provider.prepare(work.desired)
    tries = 0
    while True:
        tries += 1
        try:
            items = list(work.provider.observe([resource.id for resource in work.desired]))
        except Temporary as error:
            pause = retry.pause_s(tries, error)
            if pause is None:
                return planning.incomplete(work.scope, one_line(str(error)))
            retry.sleep(pause)
        except MlabError as error:
            return planning.incomplete(work.scope, one_line(str(error)))
        else:
            return _made(work, items)


def _made(work: Work, items: Sequence[Observed]) -> Plan:
    made = planning.make(work.scope, work.desired, items, work.rules())
    if work.only:
        made = replace(made, changes=tuple(c for c in made.changes if _selected(work, c.id)))
    why = "" if work.whole else "the scope could not be rendered whole"
    return policy.guard_emptied(made, len(work.desired), why)


def _selected(work: Work, identity: Id) -> bool:
    name = f"{work.scope.partition('/')[2]}/{identity}"
    return any(fnmatch.fnmatchcase(name, glob) for glob in work.only)


def observe_all(works: Sequence[Work], policy_: Policy | None = None) -> list[Plan]:
    """Plan all scopes side by side, in their order."""
    if not works:
        return []
    with ThreadPoolExecutor(len(works), thread_name_prefix="observe") as pool:
        return list(pool.map(lambda work: observe(work, policy_), works))


def apply(works: Sequence[Work], judged: Sequence[Plan], options: Options) -> list[ScopeResult]:
    """Apply plans that policy has judged. Results are in the order of `works`."""
    plans = {plan.scope: plan for plan in judged}
    runs = [_ScopeRun(work, plans[work.scope], options) for work in works]
    first = [run for run in runs if not run.work.scope.endswith(LAST_TARGETS)]
    last = [run for run in runs if run.work.scope.endswith(LAST_TARGETS)]
    try:
        for group in (first, last):
            _side_by_side(group, _ScopeRun.write)
        for group in (last, first):
            _side_by_side(group, _ScopeRun.prune)
        _side_by_side(runs, _ScopeRun.verify)
    finally:
        _side_by_side(runs, _ScopeRun.close)
    return [run.result for run in runs]


def _side_by_side(runs: Sequence[_ScopeRun], step: Callable[[_ScopeRun], None]) -> None:
    if runs:
        with ThreadPoolExecutor(len(runs), thread_name_prefix="scope") as pool:
            list(pool.map(step, runs))


class _ScopeRun:
    """The state of one scope between its lock and its release."""

    def __init__(self, work: Work, judged: Plan, options: Options) -> None:
        self.work, self.judged, self.options = work, judged, options
        self.result = ScopeResult(work.scope, judged)
        self._stack = ExitStack()
        self._writer: writes.Writer | None = None
        self._ranks = order.ranks(work.desired)

    def write(self) -> None:
        """Lock, plan again, compare with what was judged, create and update by level."""
        self._guarded(self._write)

    def _write(self) -> None:
        judged = self.judged
        if not judged.complete:
            self.result.error = "; ".join(judged.problems) or "it could not be observed"
            return
        if judged.refused:
            self.result.refused.extend(judged.refused)
            return
        self._blocked([c for c in judged.changes if c.blocked])
        if not any(c.blocked is None for c in judged.changes):
            return
        provider, options = self.work.provider, self.options
        options.fault("lock")
        keeper = self._stack.enter_context(
            Keeper(provider.lock(options.holder, options.lock_ttl_s), options.lock_ttl_s)
        )
        options.fault("locked")
        fresh = observe(self.work, replace(options.policy, tries=3))
        if not fresh.complete:
            raise Temporary("; ".join(fresh.problems))
        more = approval.excess(fresh, approval.of([judged]))
        if more:
            text = ", ".join(more[:5]) + (f" and {len(more) - 5} more" if len(more) > 5 else "")
            raise Refused(f"the target moved after the plan was made: {text}; plan again")
        self.result.plan = self._with_verdicts(fresh)
        if isinstance(provider, Staged):
            provider.begin([resource.id for resource in self.work.desired], self.options.fault)
        self._writer = self._new_writer(keeper)
        now = [c for c in self.result.plan.changes if c.blocked is None and c.action is not Action.DELETE]
        failed: set[Id] = set()
        for level in order.levels(now, self._ranks):
            ready = [c for c in level if not self._depends_on(c, failed)]
            outcomes = writes.level(self._writer, ready)
            outcomes += [
                Outcome(c, Result.SKIPPED, "a resource that it depends on failed", 0)
                for c in level
                if self._depends_on(c, failed)
            ]
            outcomes = self._wait_for_health(outcomes)
            failed |= {o.change.id for o in outcomes if o.result not in (Result.APPLIED, Result.UNCHANGED)}
            self.result.outcomes.extend(outcomes)

    def prune(self) -> None:
        """Delete what git does not want any more, if everything else of this scope came about."""
        self._guarded(self._prune)

    def _prune(self) -> None:
        if self._writer is None:
            return
        gone = [c for c in self.result.plan.changes if c.blocked is None and c.action is Action.DELETE]
        if self.result.failed or self.result.error:
            note = "not deleted: other changes of this scope failed"
            self.result.outcomes.extend(Outcome(c, Result.SKIPPED, note, 0) for c in gone)
            return
        for level in order.levels(gone, self._ranks, reverse=True):
            outcomes = writes.level(self._writer, level)
            self.result.outcomes.extend(outcomes)
            if any(o.result not in (Result.APPLIED, Result.UNCHANGED) for o in outcomes):
                break

    def verify(self) -> None:
        """Observe what was written once more: a field that the target changed by itself is named."""
        self._guarded(self._verify)

    def _verify(self) -> None:
        if self._writer is None:
            return
        if isinstance(self.work.provider, Staged):
            wanted = [resource.id for resource in self.work.desired]
            self.work.provider.finish(wanted, not self.result.failed, self.options.fault)
        written = {o.change.id for o in self.result.outcomes if o.result is Result.APPLIED}
        if not written:
            return
        again = observe(self.work, replace(self.options.policy, tries=3))
        if not again.complete:
            self.result.error = f"written, but not verified: {'; '.join(again.problems)}"
            return
        for change in again.changes:
            if change.id in written:
                paths = ", ".join(".".join(map(str, f.path)) for f in change.fields[:3])
                self.result.not_converged.append(
                    f"{self.work.scope}/{change.id}: NOT CONVERGED: {change.action} is still planned ({paths}); "
                    "the target normalises what it was given, or another writer changed it"
                )

    def close(self) -> None:
        """Give the lock back."""
        self._stack.close()
        self.options.listen(Event("scope_finished", self.work.scope, {"failed": self.result.failed}))

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Refused as error:
            self.result.refused.append(f"{self.work.scope}: {error}")
        except (Temporary, Conflict, MlabError) as error:
            self.result.error = one_line(str(error))

    def _blocked(self, changes: Sequence[Change]) -> None:
        self.result.outcomes.extend(Outcome(c, Result.BLOCKED, c.blocked or "", 0) for c in changes)

    def _with_verdicts(self, fresh: Plan) -> Plan:
        known = planning.keys(self.judged)
        changes = []
        for key, change in planning.keys(fresh).items():
            judged = known.get(key)
            changes.append(change if judged is None else replace(judged, observed=change.observed))
        return replace(fresh, changes=tuple(sorted(changes, key=planning.sort_key)))

    def _new_writer(self, keeper: Keeper) -> writes.Writer:
        options, provider = self.options, self.work.provider

        def mark(change: Change) -> Owner:
            source = change.desired.span.file if change.desired else change.source.file
            env = planning.scope_environment(provider.scope)
            return Owner(planning.OWNER, env, provider.scope, source, options.commit)

        return writes.Writer(
            provider=provider,
            rules=self.work.rules(),
            desired={resource.id: resource for resource in self.work.desired},
            context=Context(mark=mark, fault=options.fault, still_held=keeper.check),
            policy=options.policy,
            rate=Rate(provider.capabilities.rate_per_s, options.policy),
            record=options.record,
            listen=options.listen,
            stopped=options.stopped,
            jobs=options.jobs,
        )

    def _depends_on(self, change: Change, failed: set[Id]) -> bool:
        # A failed resource that a dependent names is enough: dependents of a skipped one see it in `failed` too.
        return change.desired is not None and not failed.isdisjoint(change.desired.deps)

    def _wait_for_health(self, outcomes: list[Outcome]) -> list[Outcome]:
        provider, options = self.work.provider, self.options
        if not provider.capabilities.can_health:
            return outcomes
        waiting = {o.change.id for o in outcomes if o.result is Result.APPLIED}
        failed: dict[Id, str] = {}
        deadline = time.monotonic() + options.health_timeout_s
        pause_s, next_word = 0.05, time.monotonic() + 15
        while waiting and not options.stopped.is_set():
            said = ""
            for identity in sorted(waiting):
                health = provider.health(identity)
                if health.state is HealthState.FAILED:
                    failed[identity] = f"it failed: {health.message}"
                if health.state in (HealthState.CURRENT, HealthState.FAILED):
                    waiting.discard(identity)
                else:
                    said = f"{identity}: {health.message}"
            if not waiting:
                break
            if time.monotonic() > deadline:
                failed.update(dict.fromkeys(waiting, f"not healthy in {options.health_timeout_s:.0f} s: {said}"))
                break
            if time.monotonic() > next_word:
                options.listen(Event("health_wait", self.work.scope, {"waiting": len(waiting), "for": said}))
                next_word += 15
            options.stopped.wait(pause_s)
            pause_s = min(1.0, pause_s * 1.5)
        return [
            replace(o, result=Result.FAILED_PERMANENT, error=one_line(failed[o.change.id]))
            if o.change.id in failed
            else o
            for o in outcomes
        ]
