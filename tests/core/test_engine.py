"""What the engine does when things go wrong on the way: in a target, in a provider, between plan and write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from reconcilers.core import engine, retry, waiting
from reconcilers.core.errors import Conflict, Temporary
from reconcilers.core.events import Event
from reconcilers.core.keeper import Keeper
from reconcilers.core.model import (
    Action,
    Change,
    Health,
    HealthState,
    Id,
    Observed,
    Outcome,
    Plan,
    Resource,
    Result,
    Span,
)
from reconcilers.core.part import Part
from reconcilers.core.provider import Capabilities, Holder
from reconcilers.providers.memory import MemoryProvider, Server
from tests.conformance import suite

SCOPE = "sandbox/memory"


def resource(name: str, value: int = 1, *deps: str) -> Resource:
    needed = frozenset(Id("Thing", dep) for dep in deps)
    return Resource(Id("Thing", name), {"value": value}, Span("config/x.yaml", 3), needed)


FEW = (resource("a"), resource("b", 1, "a"), resource("c"))


def server(desired: Sequence[Resource] = FEW) -> Server:
    made = Server()
    suite.apply(MemoryProvider(SCOPE, made), desired)
    return made


class Buggy(MemoryProvider):
    """A provider with a defect of ours in one of its calls."""

    def __init__(self, scope: str, target: Server, *, breaks: str) -> None:
        super().__init__(scope, target)
        self._breaks = breaks

    def observe(self, wanted: Collection[Id]) -> Iterable[Observed]:
        if self._breaks == "observe":
            raise KeyError("canary")
        return super().observe(wanted)

    def apply(self, changes: Sequence[Change], context: Any) -> None:
        if self._breaks == "apply":
            raise KeyError("canary")
        super().apply(changes, context)


def test_a_bug_while_observing_is_an_incomplete_scope_and_hides_no_other() -> None:
    bugs: list[Exception] = []
    works = [
        engine.Work(Buggy("sandbox/buggy", Server(), breaks="observe"), FEW),
        engine.Work(MemoryProvider(SCOPE, Server()), FEW),
    ]
    broken, fine = engine.observe_all(works, suite.QUICK, bugs.append)
    assert not broken.complete and "KeyError" in broken.problems[0] and "test_engine.py" in broken.problems[0]
    assert fine.complete and len(fine.changes) == 3
    assert [type(error) for error in bugs] == [KeyError]


def test_a_bug_while_writing_fails_its_changes_by_name_and_no_other_scope() -> None:
    bugs: list[Exception] = []
    target = Server()
    works = [
        engine.Work(Buggy("sandbox/buggy", Server(), breaks="apply"), FEW),
        engine.Work(MemoryProvider(SCOPE, target), FEW),
    ]
    plans = engine.observe_all(works, suite.QUICK)
    broken, fine = engine.apply(works, plans, suite.options(on_bug=bugs.append))
    assert {o.result for o in broken.outcomes} == {Result.FAILED_PERMANENT, Result.SKIPPED}
    assert broken.failed and bugs
    assert not fine.failed and len(target.objects) == 3


def test_what_is_protected_after_the_plan_was_made_is_not_deleted() -> None:
    target = server()
    provider = MemoryProvider(SCOPE, target)
    work = engine.Work(provider, FEW[:2])
    judged = suite.plan(provider, FEW[:2])
    assert [c.action for c in judged.changes] == [Action.DELETE]
    target.objects[Id("Thing", "c")].protect = True
    result = engine.apply([work], [judged], suite.options())[0]
    assert [o.result for o in result.outcomes] == [Result.BLOCKED]
    assert Id("Thing", "c") in target.objects


def test_what_is_protected_at_the_moment_of_the_write_is_not_deleted() -> None:
    target = server()

    def protect(change: Change) -> None:
        live = target.objects[change.id]
        live.protect, live.version = True, next(target.versions)

    target.before_write = protect
    result = suite.apply(MemoryProvider(SCOPE, target), FEW[:2])
    assert [o.result for o in result.outcomes] == [Result.CONFLICT]
    assert Id("Thing", "c") in target.objects


def test_dependents_of_a_blocked_creation_are_not_tried() -> None:
    class Forbids(MemoryProvider):
        def assess(self, change: Change) -> Change:
            return replace(change, blocked="not here", impossible=True) if change.id.name == "a" else change

    target = Server()
    result = suite.apply(Forbids(SCOPE, target), FEW)
    found = {o.change.id.name: o.result for o in result.outcomes}
    assert found == {"a": Result.BLOCKED, "b": Result.SKIPPED, "c": Result.APPLIED}


def test_a_paused_scope_is_not_even_looked_at() -> None:
    work = engine.Work(Buggy(SCOPE, Server(), breaks="observe"), FEW, paused="its mode is `paused`")
    (plan,) = engine.observe_all([work], suite.QUICK)
    assert plan == Plan(SCOPE, paused="its mode is `paused`")
    result = engine.apply([work], [plan], suite.options())[0]
    assert not result.failed and not result.outcomes


def test_left_out_resources_are_neither_written_nor_pruned() -> None:
    target = server()
    desired = (resource("a", 2), resource("b", 2, "a"))
    work = engine.Work(MemoryProvider(SCOPE, target), desired, part=Part(without=("memory/Thing/[bc]",)))
    plan = engine.observe(work)
    assert [str(c.id) for c in plan.changes] == ["Thing/a"]


def test_a_target_that_cannot_list_is_never_pruned() -> None:
    class Blind(MemoryProvider):
        capabilities = Capabilities(can_list=False)

    made = engine.observe(engine.Work(Blind(SCOPE, server()), FEW[:2]))
    assert [c.action for c in made.changes] == [Action.DELETE] and made.changes[0].blocked


class Told(MemoryProvider):
    """Answers the question for health with these, one after the other."""

    capabilities = Capabilities(can_health=True)

    def __init__(self, answers: Sequence[Health | Exception]) -> None:
        super().__init__(SCOPE, Server())
        self._answers = iter(answers)

    def health(self, identity: Id) -> Health:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def written() -> Outcome:
    change = Change(Action.CREATE, Id("Thing", "a"), resource("a"), None)
    return Outcome(change, Result.APPLIED)


def healthy(answers: Sequence[Health | Exception], listen: Callable[[Event], None] = lambda event: None) -> Outcome:
    provider, stopped = Told(answers), threading.Event()
    (ended,) = waiting.until_healthy(provider, [written()], limit_s=20, listen=listen, stopped=stopped)
    return ended


def test_a_server_that_does_not_answer_for_a_moment_does_not_fail_what_was_written() -> None:
    answers: list[Health | Exception] = [
        Temporary("503"),
        Conflict("409"),
        Health(HealthState.IN_PROGRESS),
        Health(HealthState.CURRENT),
    ]
    assert healthy(answers).result is Result.APPLIED


def test_what_turns_out_to_have_failed_is_failed_with_its_reason() -> None:
    ended = healthy([Health(HealthState.FAILED, "progress deadline exceeded")])
    assert ended.result is Result.FAILED_PERMANENT and "progress deadline exceeded" in ended.error


@pytest.mark.parametrize(
    ("error", "slower"),
    [
        (Temporary("too many", throttled=True), True),
        (Temporary("too many", 0.01, throttled=True), True),
        (Temporary("busy", 0.01), False),
    ],
)
def test_a_429_halves_the_rate_and_nothing_else_does(
    error: Temporary, slower: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, rates = server(()), []
    fails = iter([error])

    def fail(change: Change) -> None:
        for one in fails:
            raise one

    class Seen(retry.Rate):
        def slow_down(self) -> None:
            rates.append(1)
            super().slow_down()

    target.before_write = fail
    monkeypatch.setattr(engine, "Rate", Seen)
    result = suite.apply(MemoryProvider(SCOPE, target), FEW[:1])
    assert [o.result for o in result.outcomes] == [Result.APPLIED] and result.outcomes[0].tries == 2
    assert bool(rates) is slower


def test_the_rate_halves_and_comes_back_in_twentieths() -> None:
    clock = iter(range(10**6))
    made = retry.Rate(100.0, replace(suite.QUICK, clock=lambda: float(next(clock)), sleep=lambda s: None))
    made.slow_down()
    made.slow_down()
    assert made.per_s == 25.0
    for _ in range(15):
        made.recover()
    assert made.per_s == 100.0
    for _ in range(20):
        made.slow_down()
    assert made.per_s == 0.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None), ("-5", None), (None, None)],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry.retry_after_s(value) == seconds


class Unsure(MemoryProvider):
    """A target that takes a lock, or gives it back, without an answer that arrives."""

    lost = 0

    def lock(self, holder: Holder, ttl_s: float) -> Any:
        taken = super().lock(holder, ttl_s)
        if self.lost:
            self.lost -= 1
            raise Temporary("the connection ended")
        return taken


def test_a_lock_that_was_taken_without_our_knowing_is_given_back() -> None:
    target = Server()
    provider = Unsure(SCOPE, target)
    provider.lost = 1
    result = suite.apply(provider, FEW)
    assert "the connection ended" in result.error and not result.outcomes
    assert target.locks == {}


@pytest.mark.parametrize(("failing", "tries"), [(0, 1), (2, 3), (9, 3)])
def test_a_lock_whose_release_fails_for_a_moment_is_released_by_a_further_try(failing: int, tries: int) -> None:
    asked: list[int] = []

    class Busy:
        def renew(self) -> None:
            raise AssertionError("too early")

        def release(self) -> None:
            asked.append(1)
            if len(asked) <= failing:
                raise Temporary("busy")

    with Keeper(Busy(), 60, suite.QUICK):
        pass
    assert len(asked) == tries


def test_a_release_is_not_tried_again_when_the_lock_has_expired_by_then() -> None:
    asked: list[int] = []

    class Busy:
        def renew(self) -> None:
            raise Temporary("busy")

        def release(self) -> None:
            asked.append(1)
            raise Temporary("busy", retry_after_s=5)

    with Keeper(Busy(), 3, suite.QUICK):
        pass
    assert len(asked) == 1


def test_a_bug_in_giving_a_lock_back_is_told_and_hides_no_result() -> None:
    class Broken(MemoryProvider):
        def lock(self, holder: Holder, ttl_s: float) -> Any:
            broken: Any = None
            return replace(super().lock(holder, ttl_s), server=broken)

    bugs: list[Exception] = []
    result = suite.apply(Broken(SCOPE, Server()), FEW, chosen=suite.options(on_bug=bugs.append))
    assert [o.result for o in result.outcomes] == [Result.APPLIED] * 3
    assert "internal error" in result.error and len(bugs) == 1
