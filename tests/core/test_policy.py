"""Limits exactly at, above and below their bounds, and what an acknowledgement may and may not permit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from reconcilers.core import plan as planning
from reconcilers.core.model import Action, Change, Id, Observed, Owner, Plan, Risk
from reconcilers.core.policy import Ack, Allowance, Limit, Limits, LimitSet, check, guard_emptied

TODAY = date(2026, 3, 1)
SCOPE = "sandbox/epoxy"


def deletion(name: str, **changes: object) -> Change:
    identity = Id("Host", name)
    observed = Observed(identity, {}, Owner("mlab", "sandbox", SCOPE))
    return Change(Action.DELETE, identity, None, observed, risk=changes.pop("risk", Risk.DESTRUCTIVE), **changes)  # type: ignore[arg-type]


def plan(number: int, population: int, action: Action = Action.DELETE) -> Plan:
    made = [deletion(f"h{n:03}") for n in range(number)]
    if action is Action.UPDATE:
        made = [Change(action, c.id, None, c.observed) for c in made]
    return Plan(SCOPE, tuple(made), population={"Host": population})


def ack(match: str, most: int, *, expires: date = TODAY, action: Action = Action.DELETE) -> Ack:
    return Ack("config/acks/x.yaml", "planned", expires, (Allowance(action, match, most),))


@pytest.mark.parametrize(
    ("number", "population", "refused"),
    [
        (9, 9, False),  # below the minimum population a fraction says nothing
        (1, 10, False),  # exactly a tenth
        (2, 10, True),
        (10, 100, False),
        (11, 100, True),
        (25, 1000, False),  # exactly the count
        (26, 1000, True),
    ],
)
def test_deletions_are_refused_one_above_the_limit(number: int, population: int, refused: bool) -> None:
    judged = check([plan(number, population)], LimitSet(), [], TODAY).plans[0]
    assert bool(judged.refused) is refused


@pytest.mark.parametrize(("number", "refused"), [(30, False), (31, True)])
def test_updates_have_a_limit_of_their_own(number: int, refused: bool) -> None:
    assert bool(check([plan(number, 100, Action.UPDATE)], LimitSet(), [], TODAY).plans[0].refused) is refused


def test_a_refusal_names_number_population_limit_and_the_way_out() -> None:
    text = check([plan(26, 1000)], LimitSet(), [], TODAY).plans[0].refused[0]
    for word in (SCOPE, "26 Host", "1000 live", "at most 25", "config/acks/", "max: 26"):
        assert word in text


def test_every_violation_of_every_scope_is_found_in_one_run() -> None:
    other = Plan("staging/epoxy", plan(50, 60).changes, population={"Host": 60})
    judged = check([plan(50, 60), other], LimitSet(), [], TODAY).plans
    assert all(one.refused for one in judged)


def test_a_stricter_kind_is_refused_where_the_default_would_not_be() -> None:
    limits = LimitSet(kinds={"Host": Limits(delete=Limit(0, 0.0))})
    assert check([plan(1, 1000)], limits, [], TODAY).plans[0].refused


def test_a_destructive_update_counts_as_a_deletion() -> None:
    changes = tuple(
        Change(Action.UPDATE, c.id, None, c.observed, risk=Risk.DESTRUCTIVE) for c in plan(26, 1000).changes
    )
    refused = check([Plan(SCOPE, changes, population={"Host": 1000})], LimitSet(), [], TODAY).plans[0].refused
    assert "delete of 26 Host" in refused[0]


def test_an_acknowledgement_permits_as_many_as_it_says() -> None:
    assert not check([plan(26, 1000)], LimitSet(), [ack(f"{SCOPE}/Host/*", 1)], TODAY).plans[0].refused
    judged = check([plan(27, 1000)], LimitSet(), [ack(f"{SCOPE}/Host/*", 1)], TODAY).plans[0]
    assert judged.refused and [c.ack for c in judged.changes].count("config/acks/x.yaml") == 1


@pytest.mark.parametrize("match", ["staging/epoxy/Host/*", f"{SCOPE}/Host/other-*", "*/buckets/*"])
def test_an_acknowledgement_for_something_else_permits_nothing(match: str) -> None:
    verdict = check([plan(26, 1000)], LimitSet(), [ack(match, 100)], TODAY)
    assert verdict.plans[0].refused
    assert any("unused" in warning for warning in verdict.warnings)


def test_an_acknowledgement_for_another_action_permits_nothing() -> None:
    acks = [ack(f"{SCOPE}/Host/*", 100, action=Action.UPDATE)]
    assert check([plan(26, 1000)], LimitSet(), acks, TODAY).plans[0].refused


def test_an_acknowledgement_holds_on_its_last_day_and_not_after() -> None:
    acks = [ack(f"{SCOPE}/Host/*", 26)]
    assert not check([plan(26, 1000)], LimitSet(), acks, TODAY).plans[0].refused
    verdict = check([plan(26, 1000)], LimitSet(), acks, date(2026, 3, 2))
    assert verdict.plans[0].refused and any("expired" in warning for warning in verdict.warnings)


def test_an_acknowledgement_is_spent_once_over_all_scopes() -> None:
    other = Plan("sandbox/other", plan(26, 1000).changes, population={"Host": 1000})
    judged = check([plan(26, 1000), other], LimitSet(), [ack("sandbox/*", 26)], TODAY).plans
    assert [bool(one.refused) for one in judged] == [False, True]


def irreversible() -> Plan:
    return Plan(SCOPE, (deletion("h001", risk=Risk.IRREVERSIBLE),), population={"Host": 1000})


def test_an_irreversible_change_is_blocked_without_its_exact_name() -> None:
    assert check([irreversible()], LimitSet(), [], TODAY).plans[0].changes[0].blocked
    judged = check([irreversible()], LimitSet(), [ack(f"{SCOPE}/Host/*", 5)], TODAY).plans[0]
    assert judged.changes[0].blocked
    judged = check([irreversible()], LimitSet(), [ack(f"{SCOPE}/Host/h001", 1)], TODAY).plans[0]
    assert judged.changes[0].blocked is None and judged.changes[0].ack


def test_a_protected_object_stays_blocked_whatever_is_acknowledged() -> None:
    live = Observed(Id("Host", "h001"), {}, Owner("mlab", "sandbox", SCOPE), protect=True)
    rules = planning.Rules(lambda resource: resource.spec, lambda change: change)
    made = planning.make(SCOPE, [], [live], rules)
    judged = check([made], LimitSet(), [ack(f"{SCOPE}/Host/h001", 1)], TODAY).plans[0]
    assert judged.changes[0].blocked


def test_the_impossible_stays_blocked_whatever_is_acknowledged() -> None:
    made = Plan(
        SCOPE,
        (Change(Action.UPDATE, Id("Host", "a"), None, None, blocked="immutable", impossible=True),),
        population={},
    )
    acks = [ack(f"{SCOPE}/Host/a", 1, action=Action.UPDATE)]
    assert check([made], LimitSet(), acks, TODAY).plans[0].changes[0].blocked


def test_an_emptied_scope_says_how_it_is_permitted_and_then_is() -> None:
    made = guard_emptied(plan(5, 5), 0)
    assert all(c.blocked and f'match: "{SCOPE}/*", max: 5' in c.blocked for c in made.changes)
    judged = check([made], LimitSet(), [ack(f"{SCOPE}/*", 4)], TODAY).plans[0]
    assert [c.blocked is None for c in judged.changes] == [True, True, True, True, False]


def test_what_could_not_be_rendered_whole_is_not_pruned_whatever_is_acknowledged() -> None:
    made = guard_emptied(plan(5, 5), 3, "the scope could not be rendered whole")
    judged = check([made], LimitSet(), [ack(f"{SCOPE}/*", 5)], TODAY).plans[0]
    assert all(c.blocked for c in judged.changes)


@pytest.mark.parametrize("action", [Action.UPDATE, Action.DELETE])
def test_an_irreversible_update_is_permitted_by_its_exact_name_under_either_word(action: Action) -> None:
    identity = Id("Bucket", "archive")
    lock = Change(Action.UPDATE, identity, None, Observed(identity, {}, None), risk=Risk.IRREVERSIBLE)
    made = Plan(SCOPE, (lock,), population={"Bucket": 3})
    blocked = check([made], LimitSet(), [], TODAY).plans[0].changes[0].blocked
    assert blocked and f'{{action: update, match: "{SCOPE}/Bucket/archive", max: 1}}' in blocked
    assert check([made], LimitSet(), [ack(f"{SCOPE}/Bucket/archive", 1, action=action)], TODAY).plans[0].changes[0].ack


def test_a_broad_acknowledgement_of_updates_permits_no_destructive_one() -> None:
    changes = (replace(plan(1, 1).changes[0], action=Action.UPDATE),)
    limits = LimitSet(Limits(delete=Limit(0, 0.0)))
    acks = [ack(f"{SCOPE}/Host/*", 500, action=Action.UPDATE)]
    assert check([Plan(SCOPE, changes, population={"Host": 1})], limits, acks, TODAY).plans[0].refused
