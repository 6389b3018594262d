"""Random desired and observed states: whatever happens in between, applying plans ends in an empty one."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from reconcilers.core import engine, policy
from reconcilers.core import plan as planning
from reconcilers.core.model import Id, Owner, Resource, Span
from reconcilers.providers.memory import Live, MemoryProvider, Server
from tests.conformance import suite

SCOPE = "sandbox/memory"
NAMES = st.sampled_from("abcdefgh")
DESIRED = st.dictionaries(NAMES, st.integers(0, 3), min_size=1)
LIVE = st.dictionaries(NAMES, st.tuples(st.integers(0, 3), st.sampled_from(["ours", "none", "other"])))


def wanted(values: Mapping[str, int]) -> tuple[Resource, ...]:
    return tuple(
        Resource(
            Id("Thing", name),
            {"value": value},
            Span("config/x.yaml"),
            frozenset(Id("Thing", dep) for dep in values if dep < name),
        )
        for name, value in values.items()
    )


def server(values: Mapping[str, tuple[int, str]]) -> Server:
    made = Server()
    marks = {"ours": Owner("mlab", "sandbox", SCOPE), "none": None, "other": Owner("mlab", "staging", "staging/memory")}
    for name, (value, owner) in values.items():
        made.objects[Id("Thing", name)] = Live({"value": value}, marks[owner], next(made.versions))
    return made


@settings(max_examples=300)
@given(DESIRED, LIVE)
def test_an_applied_plan_leaves_only_blocked_changes(
    desired: Mapping[str, int], live: Mapping[str, tuple[int, str]]
) -> None:
    target = server(live)
    suite.apply(MemoryProvider(SCOPE, target), wanted(desired))
    left = suite.plan(MemoryProvider(SCOPE, target), wanted(desired))
    assert all(change.blocked for change in left.changes)
    for name, (value, owner) in live.items():
        if owner != "ours":
            assert target.objects[Id("Thing", name)].spec == {"value": value}


@settings(max_examples=150)
@given(DESIRED, LIVE, st.integers(0, 40))
def test_any_prefix_of_an_apply_converges_on_the_next_run(
    desired: Mapping[str, int], live: Mapping[str, tuple[int, str]], stop_at: int
) -> None:
    target = server(live)
    seen = 0

    def fault(point: str) -> None:
        nonlocal seen
        seen += 1
        if seen > stop_at:
            raise suite.Crash(point)

    try:
        suite.apply(MemoryProvider(SCOPE, target), wanted(desired), chosen=suite.options(fault=fault, jobs=1))
    except suite.Crash:
        target.locks.clear()
    suite.apply(MemoryProvider(SCOPE, target), wanted(desired))
    left = suite.plan(MemoryProvider(SCOPE, target), wanted(desired))
    assert all(change.blocked for change in left.changes)


@given(DESIRED, LIVE, st.randoms())
def test_the_order_of_inputs_does_not_matter(
    desired: Mapping[str, int], live: Mapping[str, tuple[int, str]], chance: object
) -> None:
    shuffled = list(wanted(desired))
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    provider = MemoryProvider(SCOPE, server(live))
    work, other = engine.Work(provider, wanted(desired)), engine.Work(provider, tuple(shuffled))
    assert planning.digest(engine.observe(work)) == planning.digest(engine.observe(other))


@given(DESIRED, LIVE)
def test_no_plan_deletes_what_is_not_ours(desired: Mapping[str, int], live: Mapping[str, tuple[int, str]]) -> None:
    made = engine.observe(engine.Work(MemoryProvider(SCOPE, server(live)), wanted(desired)))
    for change in made.changes:
        if change.desired is None:
            assert change.observed is not None and planning.ours(change.observed.owner, SCOPE)


def test_an_emptied_desired_state_deletes_nothing() -> None:
    target = server({"a": (1, "ours"), "b": (2, "ours")})
    made = engine.observe(engine.Work(MemoryProvider(SCOPE, target), ()))
    assert len(made.changes) == 2 and all(change.blocked for change in made.changes)
    assert policy.guard_emptied(made, 0) == made
