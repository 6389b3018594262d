"""Carries out judged plans: lock, observe again, write what was approved, wait for health, prune last, verify.

Scopes run side by side, in three stages: names come after what they name, and probes after names. Creations and
updates of all scopes come first, in that order; deletions come when a scope's writes all succeeded, in reverse: nothing
is probed that is gone, and no name leads to nothing. An error ends one scope and no other, even one that is a bug.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from reconcilers.core import approval, order, policy, waiting, writes
from reconcilers.core import plan as planning
from reconcilers.core.errors import MlabError, Refused, Temporary, advised, bug
from reconcilers.core.events import Event, Listener
from reconcilers.core.keeper import Keeper
from reconcilers.core.model import Action, Change, Id, Observed, Outcome, Owner, Plan, Resource, Result
from reconcilers.core.part import Part
from reconcilers.core.provider import Context, Holder, Lock, Prepared, Provider, Staged
from reconcilers.core.retry import Policy, Rate

LAST_TARGETS = ("dns", "monitoring")
"""Targets written after all others, in this order, and pruned before them, in reverse."""

OnBug = Callable[[Exception], None]
"""Keeps the trace of an error that is none of ours, for a report; the run goes on without its scope."""


@dataclass(frozen=True, slots=True)
class Work:
    """One scope's part of a run: its target and what git wants there; `whole` is False if rendering failed in part."""

    provider: Provider
    desired: tuple[Resource, ...]
    whole: bool = True
    part: Part = field(default_factory=Part)
    """What of the scope the run may change; the rest is neither written nor pruned."""
    paused: str = ""
    """Why nothing of this scope may be looked at; empty if it may."""
    key: bytes = field(default=b"", repr=False)
    """The key of digests of sensitive values."""
    forget: bool = False
    """Remove our marks from what the run may change, and leave the things there, whatever git wants of them."""

    @property
    def scope(self) -> str:
        """`<environment>/<target>`."""
        return self.provider.scope

    def rules(self) -> planning.Rules:
        """The provider's pure parts."""
        return planning.Rules(self.provider.normalise, self.provider.assess, self.key)


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is carried out."""

    holder: Holder
    commit: str
    policy: Policy = field(default_factory=Policy)
    lock_ttl_s: float = 60.0
    health_timeout_s: float = 300.0
    jobs: int = 16
    record: Callable[[Sequence[Mapping[str, Any]]], None] = lambda lines: None
    listen: Listener = lambda event: None
    fault: Callable[[str], None] = lambda point: None
    stopped: threading.Event = field(default_factory=threading.Event)
    on_bug: OnBug = lambda error: None


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


def observe(work: Work, policy_: Policy | None = None, on_bug: OnBug = lambda error: None) -> Plan:
    """Plan one scope. What cannot be observed is an incomplete plan, never an exception."""
    if work.paused:
        return Plan(work.scope, paused=work.paused)
    retry = policy_ or Policy(tries=3)
    tries = 0
    while True:
        tries += 1
        try:
            if isinstance(work.provider, Prepared):
                work.provider.prepare(work.desired)
            return _made(work, list(work.provider.observe([resource.id for resource in work.desired])))
        except Temporary as error:
            pause = retry.pause_s(tries, error)
            if pause is None:
                return planning.incomplete(work.scope, advised(error))
            retry.sleep(pause)
        except MlabError as error:
            return planning.incomplete(work.scope, advised(error))
        except Exception as error:
            on_bug(error)
            return planning.incomplete(work.scope, bug(error))


def _made(work: Work, items: Sequence[Observed]) -> Plan:
    if work.forget:
        made = planning.letting_go(work.scope, items)
    else:
        made = planning.make(work.scope, work.desired, items, work.rules())
    if not work.part.whole:
        target = work.scope.partition("/")[2]
        made = replace(made, changes=tuple(c for c in made.changes if work.part.holds(f"{target}/{c.id}")))
    why = "" if work.whole else "the scope could not be rendered whole"
    if not work.provider.capabilities.can_list:
        why = why or "this target cannot list what it has, so what is missing in git is not known"
    return policy.guard_emptied(made, len(work.desired), why)


def observe_all(works: Sequence[Work], policy_: Policy | None = None, on_bug: OnBug = lambda error: None) -> list[Plan]:
    """Plan all scopes side by side, in their order."""
    if not works:
        return []
    with ThreadPoolExecutor(len(works), thread_name_prefix="observe") as pool:
        return list(pool.map(lambda work: observe(work, policy_, on_bug), works))


def apply(works: Sequence[Work], judged: Sequence[Plan], options: Options) -> list[ScopeResult]:
    """Apply plans that policy has judged. Results are in the order of `works`."""
    plans = {plan.scope: plan for plan in judged}
    runs = [_ScopeRun(work, plans[work.scope], options) for work in works]
    stages = _stages(runs)
    try:
        for stage in stages:
            _side_by_side(stage, _ScopeRun.write)
        for stage in reversed(stages):
            _side_by_side(stage, _ScopeRun.prune)
        _side_by_side(runs, _ScopeRun.verify)
    finally:
        _side_by_side(runs, _ScopeRun.close)
    return [run.result for run in runs]


def _stages(runs: Sequence[_ScopeRun]) -> list[list[_ScopeRun]]:
    def stage(run: _ScopeRun) -> int:
        target = run.work.scope.partition("/")[2]
        return 1 + LAST_TARGETS.index(target) if target in LAST_TARGETS else 0

    return [[run for run in runs if stage(run) == number] for number in range(1 + len(LAST_TARGETS))]


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
        self._not_as_wanted: frozenset[Id] = frozenset()
        self._keeper: Keeper | None = None
        self._ranks = order.ranks(work.desired)

    def write(self) -> None:
        """Lock, plan again, compare with what was judged, create and update by level."""
        self._guarded(self._write)

    def _write(self) -> None:
        judged = self.judged
        if judged.paused:
            return
        if not judged.complete:
            self.result.error = "; ".join(judged.problems) or "it could not be observed"
            return
        if judged.refused:
            self.result.refused.extend(judged.refused)
            return
        if not any(c.blocked is None for c in judged.changes):
            self._blocked(judged)
            return
        provider, options = self.work.provider, self.options
        options.fault("lock")
        keeper = self._stack.enter_context(Keeper(self._locked(), options.lock_ttl_s, options.policy))
        self._keeper = keeper
        options.fault("locked")
        options.listen(Event("scope_locked", self.work.scope))
        fresh = self._observed()
        if not fresh.complete:
            self.result.error = "; ".join(fresh.problems)
            return
        more = approval.excess(fresh, approval.of([judged]))
        if more:
            text = ", ".join(more[:5]) + (f" and {len(more) - 5} more" if len(more) > 5 else "")
            raise Refused(f"the target moved after the plan was made: {text}; plan again")
        self.result.plan = self._with_verdicts(fresh)
        self._blocked(self.result.plan)
        if isinstance(provider, Staged):
            provider.begin([resource.id for resource in self.work.desired], self.options.fault)
        self._writer = self._new_writer(keeper)
        now = [c for c in self.result.plan.changes if c.blocked is None and c.action is not Action.DELETE]
        gone = self._deletions()
        blocked = {c.id: c for c in self.result.plan.changes if c.blocked}
        self._not_as_wanted = frozenset(blocked)
        failed = {identity for identity, c in blocked.items() if c.action is Action.CREATE}
        for level in order.levels(now, self._ranks):
            ready = [c for c in level if not self._depends_on(c, failed)]
            outcomes = writes.level(self._writer, ready, gone)
            outcomes += [
                Outcome(c, Result.SKIPPED, "a resource that it depends on failed or is blocked", 0)
                for c in level
                if self._depends_on(c, failed)
            ]
            outcomes = self._wait_for_health(outcomes)
            failed |= {o.change.id for o in outcomes if o.result not in (Result.APPLIED, Result.UNCHANGED)}
            self.result.outcomes.extend(outcomes)

    def _locked(self) -> Lock:
        provider, options = self.work.provider, self.options
        try:
            return provider.lock(options.holder, options.lock_ttl_s)
        except Refused:
            raise
        except MlabError:
            # It may be ours without our knowing: the answer is lost, or one of several locks was taken.
            with suppress(MlabError):
                provider.unlock(options.holder.identity)
            raise

    def prune(self) -> None:
        """Delete what git does not want any more, if everything else of this scope came about."""
        self._guarded(self._prune)

    def _prune(self) -> None:
        if self._writer is None:
            return
        done = {o.change.id for o in self.result.outcomes if o.change.action is Action.DELETE}
        gone = [change for change in self._deletions() if change.id not in done]
        if self.result.failed or self.result.error:
            note = "not deleted: other changes of this scope failed"
            self.result.outcomes.extend(Outcome(c, Result.SKIPPED, note, 0) for c in gone)
            return
        for level in order.levels(gone, self._ranks, reverse=True):
            outcomes = writes.level(self._writer, level)
            self.result.outcomes.extend(outcomes)
            if any(o.result not in (Result.APPLIED, Result.UNCHANGED) for o in outcomes):
                break

    def _deletions(self) -> list[Change]:
        return [c for c in self.result.plan.changes if c.blocked is None and c.action is Action.DELETE]

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
        again = self._observed()
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
        lost = self._keeper is not None and self._keeper.lost
        self._guarded(self._stack.close)
        self.options.listen(Event("scope_finished", self.work.scope, {"failed": self.result.failed, "lost": lost}))

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Refused as error:
            self.result.refused.append(f"{self.work.scope}: {error}")
        except MlabError as error:
            self.result.error = advised(error)
        except Exception as error:
            self.options.on_bug(error)
            self.result.error = bug(error)

    def _observed(self) -> Plan:
        return observe(self.work, replace(self.options.policy, tries=3), self.options.on_bug)

    def _wait_for_health(self, outcomes: list[Outcome]) -> list[Outcome]:
        options, provider = self.options, self.work.provider
        if not provider.capabilities.can_health:
            return outcomes
        return waiting.until_healthy(
            provider, outcomes, limit_s=options.health_timeout_s, listen=options.listen, stopped=options.stopped
        )

    def _blocked(self, plan: Plan) -> None:
        self.result.outcomes.extend(Outcome(c, Result.BLOCKED, c.blocked, 0) for c in plan.changes if c.blocked)

    def _with_verdicts(self, fresh: Plan) -> Plan:
        known = planning.keys(self.judged)
        changes = []
        for key, change in planning.keys(fresh).items():
            judged = known.get(key)
            # What the target forbids by now (a protection was set meanwhile) stands, whatever was judged before.
            stands = judged is None or change.impossible
            changes.append(change if stands or judged is None else replace(judged, observed=change.observed))
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
            on_bug=options.on_bug,
            jobs=options.jobs,
        )

    def _depends_on(self, change: Change, failed: set[Id]) -> bool:
        # A failed resource that a dependent names is enough: dependents of a skipped one see it in `failed` too.
        wanted = change.desired
        if wanted is None:
            return False
        return not failed.isdisjoint(wanted.deps) or (wanted.exact and not self._not_as_wanted.isdisjoint(wanted.deps))
