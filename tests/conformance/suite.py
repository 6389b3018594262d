"""What every provider must hold, against its real server.

A test module supplies a `Harness` and subclasses `Conformance`:

class TestEpoxy(suite.Conformance):
    @pytest.fixture
    def harness(self, ...) -> suite.Harness: ...
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

import pytest
from msgspec import structs

from reconcilers.core import engine, policy
from reconcilers.core import plan as planning
from reconcilers.core.errors import Permanent, Refused, Temporary
from reconcilers.core.model import Action, Change, Id, Plan, Resource, Result
from reconcilers.core.part import Part
from reconcilers.core.provider import Context, Holder, Provider
from reconcilers.core.retry import Policy

OPEN = policy.LimitSet(policy.Limits(policy.Limit(10**6, 1.0), policy.Limit(10**6, 1.0)))
QUICK = Policy(tries=3, base_s=0.01, cap_s=0.05)


class Harness(Protocol):
    """One provider and its real server, fresh for each test."""

    first: Sequence[Resource]
    """A desired state with at least three resources, one depending on another."""
    second: Sequence[Resource]
    """Another one that, from `first`, needs at least one creation, one update and one deletion."""
    lock_ttl_s: float
    """The shortest time to live of a lock that the target supports, in seconds."""

    def provider(self) -> Provider:
        """A new instance, as a new process would make it."""

    def reset(self) -> None:
        """Empty the target: no object of ours, no foreign one, no lock."""

    def state(self) -> Any:
        """All live owned objects, comparable: no versions, no times, no commit."""

    def put_unmarked(self, resource: Resource) -> None:
        """Create a live object with this id by other means, without our mark."""

    def put_foreign(self) -> Id:
        """Create an object that git never named and that carries no mark of ours."""

    def foreign_state(self) -> Any:
        """What that object is now, its version included."""

    def drift(self) -> Id:
        """Change one field that we own of one live object of `first`, as a person would by hand."""

    def unreachable(self) -> Provider:
        """A provider whose server does not answer (a closed port)."""


WITHOUT_A_MARK = ("BucketIam",)
"""Kinds that bear no mark: that they are ours is a record beside them, and without it they are not there."""


class Crash(BaseException):
    """The process ends here."""


def holder(name: str = "run-1") -> Holder:
    """Who applies, in a test."""
    return Holder(name, "tester", "", "2026-01-01T00:00:00Z")


def options(**changes: Any) -> engine.Options:
    """Quick retries and a short lock."""
    made = engine.Options(holder=holder(), commit="c0ffee0", policy=QUICK, lock_ttl_s=30, health_timeout_s=30)
    return replace(made, **changes)


def plan(provider: Provider, desired: Sequence[Resource], limits: policy.LimitSet = OPEN) -> Plan:
    """Observe and judge."""
    made = engine.observe(engine.Work(provider, tuple(desired)), QUICK)
    return policy.check([made], limits, [], date(2026, 1, 1)).plans[0]


def apply(
    provider: Provider,
    desired: Sequence[Resource],
    *,
    limits: policy.LimitSet = OPEN,
    chosen: engine.Options | None = None,
) -> engine.ScopeResult:
    """Plan, judge and apply one scope."""
    judged = plan(provider, desired, limits)
    return engine.apply([engine.Work(provider, tuple(desired))], [judged], chosen or options())[0]


def applied(harness: Harness, desired: Sequence[Resource]) -> engine.ScopeResult:
    """Apply with a new instance and insist on success."""
    provider = harness.provider()
    try:
        result = apply(provider, desired)
    finally:
        provider.close()
    assert not result.error and not result.refused and not result.not_converged, result
    assert all(o.result is Result.APPLIED for o in result.outcomes), result.outcomes
    return result


def summary(made: Plan) -> list[tuple[str, str, Any]]:
    """A plan's changes, short, for a failing assertion to show."""
    return [(c.action.value, str(c.id), [(f.path, f.before, f.after) for f in c.fields][:4]) for c in made.changes]


@dataclass(frozen=True, slots=True)
class End:
    """One way in which a run ends: what fails of its writes, at which point it is refused or interrupted."""

    how: str
    actions: tuple[Action, ...] = ()
    error: str = ""
    raised: type[Exception] = Permanent
    at: str = ""
    failed: bool = True
    refused: bool = False


WRITES = (Action.CREATE, Action.UPDATE)
ENDS = (
    End("success", failed=False),
    End("refused at its lock", at="locked", failed=False, refused=True),
    End("interrupted", at="interrupt"),
    End("writes that fail", WRITES, "not here"),
    End("writes that fail for a moment", WRITES, "not here", Temporary),
    End("a bug", WRITES, "internal error", ZeroDivisionError),
    End("deletions that fail", (Action.DELETE,), "not here"),
    End("deletions that fail for a moment", (Action.DELETE,), "not here", Temporary),
)


class Conformance:
    """The shared suite."""

    def test_a_first_apply_creates_everything_and_the_second_plan_is_empty(self, harness: Harness) -> None:
        result = applied(harness, harness.first)
        assert {o.change.action for o in result.outcomes} == {Action.CREATE}
        made = plan(harness.provider(), harness.first)
        assert made.complete and summary(made) == []
        assert made.unchanged == len(harness.first)
        assert sum(made.population.values()) == len(harness.first)

    def test_a_changed_desired_state_is_created_updated_and_deleted(self, harness: Harness) -> None:
        applied(harness, harness.first)
        result = applied(harness, harness.second)
        actions = {o.change.action for o in result.outcomes}
        assert {Action.CREATE, Action.UPDATE, Action.DELETE} <= actions
        assert summary(plan(harness.provider(), harness.second)) == []

    def test_two_plans_of_the_same_state_are_equal(self, harness: Harness) -> None:
        applied(harness, harness.first)
        one, two = plan(harness.provider(), harness.second), plan(harness.provider(), harness.second)
        assert planning.digest(one) == planning.digest(two)
        assert summary(one) == summary(two)

    def test_planning_writes_nothing(self, harness: Harness) -> None:
        applied(harness, harness.first)
        before = harness.state()
        plan(harness.provider(), harness.second)
        assert harness.state() == before

    def test_another_commit_alone_writes_nothing(self, harness: Harness) -> None:
        applied(harness, harness.first)
        result = apply(harness.provider(), harness.first, chosen=options(commit="0000000"))
        assert result.outcomes == []

    def test_a_fault_at_each_write_converges_on_the_next_run(self, harness: Harness) -> None:
        points = _points(harness)
        assert len(points) >= 2 * len(harness.first), points
        applied(harness, harness.second)
        wanted = harness.state()
        for number in range(len(points)):
            harness.reset()
            applied(harness, harness.first)
            _crash_at(harness, number)
            applied_after_crash(harness, harness.second)
            assert harness.state() == wanted, f"after a fault at {points[number]} ({number})"
            assert summary(plan(harness.provider(), harness.second)) == []

    def test_foreign_objects_are_untouched(self, harness: Harness) -> None:
        applied(harness, harness.first)
        harness.put_foreign()
        before = harness.foreign_state()
        applied(harness, harness.second)
        assert harness.foreign_state() == before

    def test_an_unmarked_object_with_a_wanted_name_is_not_taken_unasked(self, harness: Harness) -> None:
        target = _adoptable(harness)
        harness.put_unmarked(target)
        made = plan(harness.provider(), harness.first)
        found = [c for c in made.changes if c.id == target.id]
        assert [c.action for c in found] == [Action.ADOPT]
        assert found[0].blocked
        result = apply(harness.provider(), harness.first)
        assert [o.result for o in result.outcomes if o.change.id == target.id] == [Result.BLOCKED]

    def test_an_unmarked_object_is_adopted_when_asked(self, harness: Harness) -> None:
        target = _adoptable(harness)
        harness.put_unmarked(target)
        desired = [structs.replace(r, adopt=True) if r.id == target.id else r for r in harness.first]
        applied(harness, desired)
        assert summary(plan(harness.provider(), harness.first)) == []

    def test_what_is_forgotten_stays_and_is_not_ours_any_more(self, harness: Harness) -> None:
        applied(harness, harness.first)
        needed = {needed for resource in harness.first for needed in resource.deps}
        chosen = next(r for r in harness.first if r.id not in needed and r.id.kind not in WITHOUT_A_MARK)
        provider = harness.provider()
        target = provider.scope.partition("/")[2]
        part = Part((f"{target}/{chosen.id}",))
        work = engine.Work(provider, tuple(harness.first), part=part, forget=True)
        (result,) = engine.apply([work], [engine.observe(work, QUICK)], options())
        assert not result.error and not result.not_converged, result
        assert [(o.change.action, o.change.id, o.result) for o in result.outcomes] == [
            (Action.FORGET, chosen.id, Result.APPLIED)
        ]
        (change,) = plan(harness.provider(), harness.first).changes
        assert change.action is Action.ADOPT and change.id == chosen.id and change.blocked
        assert {field.path[0] for field in change.fields} <= {"metadata"}, change.fields
        without = [resource for resource in harness.first if resource is not chosen]
        assert summary(plan(harness.provider(), without)) == []
        assert engine.observe(work, QUICK).changes == ()

    def test_refused_deletions_leave_everything_as_it_was(self, harness: Harness) -> None:
        applied(harness, harness.first)
        before = harness.state()
        none = policy.LimitSet(policy.Limits(policy.Limit(0, 0.0), policy.Limit(10**6, 1.0)))
        result = apply(harness.provider(), harness.second, limits=none)
        assert result.refused and not result.outcomes
        assert harness.state() == before

    def test_nothing_is_deleted_when_git_wants_nothing(self, harness: Harness) -> None:
        applied(harness, harness.first)
        before = harness.state()
        result = apply(harness.provider(), [])
        assert {o.result for o in result.outcomes} == {Result.BLOCKED}
        assert harness.state() == before

    def test_drift_is_found_and_healed(self, harness: Harness) -> None:
        applied(harness, harness.first)
        before = harness.state()
        changed = harness.drift()
        assert harness.state() != before
        made = plan(harness.provider(), harness.first)
        assert changed in {c.id for c in made.changes}
        applied(harness, harness.first)
        assert harness.state() == before

    def test_a_lost_object_is_made_again(self, harness: Harness) -> None:
        applied(harness, harness.first)
        kept = harness.state()
        applied(harness, harness.second)
        applied(harness, harness.first)
        assert harness.state() == kept

    def test_an_unreachable_target_gives_an_incomplete_plan(self, harness: Harness) -> None:
        made = plan(harness.unreachable(), harness.first)
        assert not made.complete and not made.changes
        assert len(made.problems) == 1 and "\n" not in made.problems[0]
        result = apply(harness.unreachable(), harness.first)
        assert result.error and not result.outcomes

    def test_a_held_lock_refuses_a_second_writer_and_names_the_first(self, harness: Harness) -> None:
        one = harness.provider()
        lock = one.lock(Holder("run-a", "alice-bot", "ci/run/7", "2026-01-01T00:00:00Z"), 30)
        result = apply(harness.provider(), harness.first)
        assert len(result.refused) == 1
        for word in ("run-a", "alice-bot", "ci/run/7", "2026-01-01T00:00:00Z"):
            assert word in result.refused[0]
        assert not result.outcomes
        lock.renew()
        lock.release()
        assert not apply(harness.provider(), harness.first).refused

    def test_an_expired_lock_is_taken_over_and_the_old_holder_may_not_renew(self, harness: Harness) -> None:
        lock = harness.provider().lock(holder("run-dead"), harness.lock_ttl_s)
        taken = until_free(lambda: harness.provider().lock(holder("run-new"), 30), harness.lock_ttl_s + 10)
        with pytest.raises(Refused):
            lock.renew()
        lock.release()
        taken.renew()
        taken.release()

    @pytest.mark.parametrize("end", ENDS, ids=[end.how for end in ENDS])
    def test_the_lock_is_free_after_every_run_that_ends_by_itself(self, harness: Harness, end: End) -> None:
        applied(harness, harness.first)
        provider = harness.provider()
        _let_fail(provider, end)
        stopped = threading.Event()
        result = apply(provider, harness.second, chosen=options(fault=_ending(end, stopped), stopped=stopped))
        assert (result.failed, bool(result.refused)) == (end.failed, end.refused), result
        if end.actions:
            assert any(end.error in o.error for o in result.outcomes), result.outcomes
        harness.provider().lock(holder("run-next"), 30).release()

    def test_unlock_needs_the_right_holder(self, harness: Harness) -> None:
        provider = harness.provider()
        provider.lock(holder("run-stuck"), 600)
        with pytest.raises(Refused):
            provider.unlock("run-other")
        provider.unlock("run-stuck")
        provider.lock(holder("run-next"), 30).release()


def applied_after_crash(harness: Harness, desired: Sequence[Resource]) -> None:
    """Apply as the next run would: where the dead one's lock is still held, an operator unlocks it."""
    provider = harness.provider()
    result = apply(provider, desired)
    if result.refused:
        provider.unlock(holder().identity)
        result = apply(provider, desired)
    assert not result.error and not result.refused and not result.not_converged, result


def _adoptable(harness: Harness) -> Resource:
    free = [r for r in harness.first if not r.deps]
    return free[0]


def _points(harness: Harness) -> list[str]:
    found: list[str] = []
    applied(harness, harness.first)
    provider = harness.provider()
    result = apply(provider, harness.second, chosen=options(fault=found.append, jobs=1))
    assert not result.error, result
    harness.reset()
    return found


def _crash_at(harness: Harness, number: int) -> None:
    seen = 0

    def fault(point: str) -> None:
        nonlocal seen
        seen += 1
        if seen > number:
            raise Crash(point)

    with pytest.raises(Crash):
        apply(harness.provider(), harness.second, chosen=options(fault=fault, jobs=1))


def _let_fail(provider: Provider, end: End) -> None:
    write = provider.apply

    def fail(changes: Sequence[Change], context: Context) -> None:
        if any(change.action in end.actions for change in changes):
            raise end.raised("not here")
        write(changes, context)

    provider.apply = fail  # type: ignore[method-assign]


def _ending(end: End, stopped: threading.Event) -> Callable[[str], None]:
    def fault(point: str) -> None:
        if point == end.at:
            raise Refused("not now")
        if point == "locked" and end.at == "interrupt":
            stopped.set()

    return fault


def until_free(take: Callable[[], Any], limit_s: float) -> Any:
    """What `take` gives, as soon as no lock refuses it."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return take()
        except Refused:
            assert time.monotonic() < deadline, "the lock never expired"
            time.sleep(0.1)
