"""Why a change is planned: git moved, the target did, git was blocked before, or nobody knows, and why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconcilers.core import cause
from reconcilers.core.cause import History
from reconcilers.core.model import Action, Cause, Change, Id, Observed, Owner, Plan, Resource, Span

SCOPE = "sandbox/epoxy"
ID = Id("Host", "a")


def resource(value: int, file: str = "config/sites/a.yaml") -> Resource:
    return Resource(ID, {"value": value}, Span(file, 3, 1))


def explained(
    before: Resource | None, now: Resource | None, *, pending: bool = False, own: str = "", file: str = ""
) -> Change:
    """The change of one resource that git wanted as `before` at the last apply, and wants as `now`."""
    action = Action.DELETE if now is None else Action.UPDATE
    live = Observed(ID, {"value": 0}, Owner("mlab", "sandbox", SCOPE, "config/sites/a.yaml"))
    source = Span(file or "config/sites/a.yaml", 0 if now is None else 3)
    change = Change(action, ID, now, live, reason=own, source=source)
    history = History(
        base="91d0aaa",
        previous={ID: before} if before else {},
        changed={"config/sites/a.yaml": 7, "config/sites/b.yaml": 2},
        removed_in=lambda name: "3f2c1ab" if name == "config/sites/a.yaml" else "",
        pending=frozenset({str(ID)} if pending else ()),
    )
    plan = cause.assign(Plan(SCOPE, (change,)), {ID: now} if now else {}, history)
    return plan.changes[0]


@pytest.mark.parametrize(
    ("before", "now", "expected", "reason"),
    [
        (resource(1), resource(2), Cause.CONFIG, "changed since 91d0aaa"),
        (None, resource(2), Cause.CONFIG, "new since 91d0aaa"),
        (resource(1), None, Cause.CONFIG, "not in git since 3f2c1ab"),
        (resource(1), resource(1), Cause.DRIFT, "the live object changed"),
        (None, None, Cause.DRIFT, "it is ours, though git did not want it at the last apply either"),
    ],
)
def test_the_last_applied_commit_tells_git_from_the_target(
    before: Resource | None, now: Resource | None, expected: Cause, reason: str
) -> None:
    change = explained(before, now)
    assert (change.cause, change.reason) == (expected, reason)


def test_what_was_blocked_at_the_last_apply_is_gits_and_not_drift() -> None:
    change = explained(resource(1), resource(1), pending=True)
    assert change.cause is Cause.CONFIG and change.reason == "wanted at 91d0aaa already, and blocked then"


def test_what_the_provider_said_of_the_risk_stands_behind_the_cause() -> None:
    change = explained(resource(1), resource(2), own="a retired machine gets no boot")
    assert change.reason == "changed since 91d0aaa; a retired machine gets no boot"


def test_a_resource_of_a_whole_folder_points_at_what_changed_in_it() -> None:
    change = explained(resource(1), resource(2), file="config/sites/")
    assert change.source == Span("config/sites/a.yaml", 7)
    assert change.reason == "changed since 91d0aaa (and 1 more files in config/sites/)"


@pytest.mark.parametrize("why", [cause.NO_RECORD, "the last applied commit 91d0aaa is not in this clone"])
def test_without_history_the_cause_is_unknown_and_says_why(why: str) -> None:
    change = replace(explained(resource(1), resource(2)), cause=Cause.UNKNOWN, reason="own")
    plan = cause.assign(Plan(SCOPE, (change,)), {}, None, why_unknown=why)
    assert plan.changes[0].cause is Cause.UNKNOWN and plan.changes[0].reason == f"{why}; own"
