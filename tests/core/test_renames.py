"""A rename in git: one thing under another name, not a stranger that comes and an acquaintance that goes."""

from __future__ import annotations

from datetime import date

from msgspec import structs

from reconcilers.core import cause, policy
from reconcilers.core.model import Action, Field, Id, Plan, Resource, Result, Span
from reconcilers.providers.memory import MemoryProvider, Server
from reconcilers.report import text
from tests.conformance import suite

SCOPE = "sandbox/memory"


def resource(name: str, value: int = 1) -> Resource:
    return Resource(Id("Thing", name), {"value": value, "same": True}, Span("config/x.yaml", 3))


def renamed(number: int, value: int = 1) -> Resource:
    return structs.replace(resource(f"new{number}", value), moved_from=Id("Thing", f"old{number}"))


def server(number: int) -> Server:
    made = Server()
    suite.apply(MemoryProvider(SCOPE, made), [resource(f"old{n}") for n in range(number)])
    return made


def plan(target: Server, *desired: Resource) -> Plan:
    return suite.plan(MemoryProvider(SCOPE, target), desired)


def test_the_new_thing_shows_what_differs_from_the_old_one_and_nothing_else() -> None:
    changes = {c.action: c for c in plan(server(1), renamed(0, value=2)).changes}
    assert changes[Action.CREATE].fields == (Field(("value",), 1, 2),)
    assert changes[Action.CREATE].reason == "renamed from Thing/old0"
    assert changes[Action.DELETE].reason == "renamed to Thing/new0"
    explained = cause.assign(plan(server(1), renamed(0, value=2)), {}, None)
    shown = "\n".join(text.changes(explained.changes))
    assert "value  1 -> 2" in shown and "renamed to Thing/new0" in shown


def test_applying_it_leaves_the_new_thing_alone() -> None:
    target = server(1)
    result = suite.apply(MemoryProvider(SCOPE, target), [renamed(0)])
    assert {o.result for o in result.outcomes} == {Result.APPLIED}
    assert list(target.objects) == [Id("Thing", "new0")]
    assert not plan(target, renamed(0)).changes


def test_renames_count_as_updates_and_not_as_deletions() -> None:
    made = plan(server(10), *(renamed(n) for n in range(3)), *(resource(f"old{n}") for n in range(3, 10)))
    limits = policy.LimitSet(policy.Limits(delete=policy.Limit(0, 0.0), update=policy.Limit(3, 0.3)))
    assert not policy.check([made], limits, [], date(2026, 1, 1)).plans[0].refused
    fewer = policy.LimitSet(policy.Limits(delete=policy.Limit(0, 0.0), update=policy.Limit(2, 0.3)))
    assert policy.check([made], fewer, [], date(2026, 1, 1)).plans[0].refused


def test_what_is_still_wanted_or_not_ours_is_no_rename() -> None:
    both = plan(server(1), resource("old0"), renamed(0)).changes
    assert [c.action for c in both] == [Action.CREATE] and both[0].moved is None
    target = server(1)
    target.objects[Id("Thing", "old0")].owner = None
    assert [c.moved for c in plan(target, renamed(0)).changes] == [None]
