"""However edits, plans, partial applies and killed applies follow each other, the next whole apply converges.

The same sequences go through the smallest honest provider, many times, and through a real ePoxy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconcilers.core import engine, policy
from reconcilers.core.model import Id, Resource
from reconcilers.core.part import Part
from tests import epoxy_service
from tests.conformance import suite
from tests.core import test_memory as memory
from tests.providers_epoxy import test_conformance as epoxy

NIGHTLY = bool(os.environ.get("MLAB_NIGHTLY"))
NUMBERS = range(1, 6)
Desired = Mapping[int, int]
"""A value by number of resource; each depends on the one before it, where git wants that, too."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens. `desired` of an edit, `only` of a partial apply, `at` of a kill: after so many points."""

    kind: str
    desired: Desired | None = None
    only: int = 0
    at: int = 0


wanted: st.SearchStrategy[Desired] = st.dictionaries(st.sampled_from(NUMBERS), st.integers(1, 3), min_size=1)
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(Step, st.just("edit"), wanted),
        st.just(Step("plan")),
        st.builds(Step, st.just("part"), only=st.sampled_from(NUMBERS)),
        st.builds(Step, st.just("kill"), at=st.integers(0, 24)),
        st.just(Step("apply")),
    ),
    min_size=2,
    max_size=8,
)
each_sequence = given(wanted, steps)


@dataclass(slots=True)
class World:
    """A target, what git wants of it, and the runs so far."""

    harness: Any
    make: Callable[[int, int, frozenset[Id]], Resource]
    wanted: Desired
    runs: int = 0
    dead: str = ""
    """The holder of the lock that a killed run left."""

    def desired(self) -> tuple[Resource, ...]:
        """As resources, in order."""
        made: dict[int, Resource] = {}
        for number, value in sorted(self.wanted.items()):
            before = made.get(number - 1)
            made[number] = self.make(number, value, frozenset([before.id] if before else []))
        return tuple(made.values())

    def plan(self) -> None:
        """Look, and find that looking changed nothing."""
        before = self.harness.state()
        suite.plan(self.harness.provider(), self.desired())
        assert self.harness.state() == before

    def run(self, *, part: Part | None = None, dies_at: int | None = None) -> None:
        """One apply by a process of its own."""
        self.runs += 1
        identity = f"run-{self.runs}"
        left = dies_at

        def fault(point: str) -> None:
            nonlocal left
            if left is not None:
                left -= 1
                if left < 0:
                    raise suite.Crash(point)

        provider = self.harness.provider()
        if self.dead:
            provider.unlock(self.dead)
            self.dead = ""
        work = engine.Work(provider, self.desired(), part=part or Part())
        made = engine.observe(work, suite.QUICK)
        judged = policy.check([made], suite.OPEN, [], date(2026, 1, 1)).plans[0]
        options = suite.options(holder=suite.holder(identity), fault=fault, jobs=1)
        try:
            result = engine.apply([work], [judged], options)[0]
        except suite.Crash:
            self.dead = identity
            return
        assert not result.failed and not result.refused, result

    def take(self, step: Step) -> None:
        """Let it happen."""
        if step.kind == "edit":
            assert step.desired is not None
            self.wanted = step.desired
        elif step.kind == "plan":
            self.plan()
        elif step.kind == "kill":
            self.run(dies_at=step.at)
        else:
            target = self.harness.provider().scope.partition("/")[2]
            one = self.make(step.only, 1, frozenset()).id if step.only else None
            self.run(part=Part(only=(f"{target}/{one}",)) if one else None)


def converges(harness: Any, make: Any, first: Desired, drawn: Sequence[Step]) -> None:
    """Take the steps, apply once more, and compare with what a target has that saw nothing but the end."""
    harness.reset()
    world = World(harness, make, first)
    for step in drawn:
        world.take(step)
    world.run()
    found = harness.state()
    assert suite.summary(suite.plan(harness.provider(), world.desired())) == []
    harness.provider().lock(suite.holder("run-after"), 30).release()
    harness.reset()
    world.run()
    assert harness.state() == found


def thing(number: int, value: int, deps: frozenset[Id]) -> Resource:
    return memory.resource(f"t{number}", value, *(dep.name for dep in deps))


def host(number: int, value: int, deps: frozenset[Id]) -> Resource:
    return epoxy.resource(number, deps=deps, ImagesVersion=f"v{value}.0.0")


@settings(max_examples=10_000 if NIGHTLY else 200)
@each_sequence
def test_any_sequence_of_runs_converges(first: Desired, drawn: list[Step]) -> None:
    converges(memory.MemoryHarness(), thing, first, drawn)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[epoxy_service.Service]:
    made = epoxy_service.Service(tmp_path_factory.mktemp("epoxy")).start()
    yield made
    made.kill()


@settings(
    max_examples=500 if NIGHTLY else 12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@each_sequence
def test_any_sequence_of_runs_converges_at_a_real_server(
    registry: epoxy_service.Service, first: Desired, drawn: list[Step]
) -> None:
    harness = epoxy.Harness(registry)
    try:
        converges(harness, host, first, drawn)
    finally:
        harness.close()
