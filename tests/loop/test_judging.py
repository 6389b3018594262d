"""What a loop may do by itself, and how its values cross: tables without any server."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from reconcilers.core.drift import Oscillation
from reconcilers.core.model import Action, Cause, Change, Id, Observed, Plan, Resource, Span
from reconcilers.fleet.model import Environment
from reconcilers.loop import wanted
from reconcilers.loop.judging import Leave, judge
from reconcilers.loop.notices import Notices
from reconcilers.loop.scope import State

HOST = Id("Host", "mlab1-lga1t")


def change(cause: Cause, *, blocked: str | None = None) -> Change:
    """An update of one host."""
    resource = Resource(HOST, {"a": 1}, Span("config/sites/lga1t.yaml", 9))
    observed = Observed(HOST, {"a": 2}, None, note="changed by somebody-else: .a")
    return Change(Action.UPDATE, HOST, resource, observed, cause=cause, blocked=blocked)


@pytest.mark.parametrize(
    ("cause", "mode", "drift", "swinging", "recorded", "held"),
    [
        (Cause.CONFIG, "apply", "report", False, True, {}),
        (Cause.CONFIG, "plan", "heal", False, True, {"policy": 1}),
        (Cause.DRIFT, "apply", "heal", False, True, {}),
        (Cause.DRIFT, "apply", "report", False, True, {"policy": 1}),
        (Cause.DRIFT, "apply", "heal", True, True, {"oscillation": 1}),
        (Cause.CONFIG, "apply", "heal", True, True, {}),
        (Cause.UNKNOWN, "apply", "report", False, True, {}),
        (Cause.UNKNOWN, "apply", "report", False, False, {"policy": 1}),
        (Cause.UNKNOWN, "apply", "heal", False, False, {}),
    ],
)
def test_a_change_is_made_or_held_back(
    cause: Cause, mode: str, drift: str, swinging: bool, recorded: bool, held: dict[str, int]
) -> None:
    leave = Leave(mode, drift, {HOST} if swinging else (), recorded)
    judged = judge(Plan("sandbox/epoxy", (change(cause),)), leave)
    assert judged.held == held
    assert len(judged.open) == (0 if held else 1)


def test_a_swinging_resource_names_its_other_writer() -> None:
    judged = judge(Plan("sandbox/epoxy", (change(Cause.DRIFT),)), Leave("apply", "heal", {HOST}))
    assert "somebody-else" in (judged.plan.changes[0].blocked or "")


def test_what_is_blocked_already_keeps_its_own_reason() -> None:
    judged = judge(Plan("sandbox/epoxy", (change(Cause.DRIFT, blocked="protected"),)), Leave("apply", "report"))
    assert judged.plan.changes[0].blocked == "protected"
    assert judged.held == {"blocked": 1}


def test_a_plan_over_its_limit_opens_nothing() -> None:
    judged = judge(Plan("sandbox/epoxy", (change(Cause.CONFIG),), refused=("too many",)), Leave("apply", "heal"))
    assert judged.open == [] and judged.held == {"limit": 1}


@pytest.mark.parametrize(
    ("times", "apart_s", "swings"), [(2, 1, False), (3, 1, True), (3, 1801, False), (3, 1800, True)]
)
def test_three_times_within_an_hour_is_too_often(times: int, apart_s: float, swings: bool) -> None:
    now = [0.0]
    oscillation = Oscillation(lambda: now[0])
    for turn in range(times):
        now[0] = turn * apart_s
        oscillation.healed([HOST])
    assert (HOST in oscillation.swinging()) is swings
    now[0] += 3601
    assert not oscillation.swinging()


def test_what_is_wanted_crosses_whole() -> None:
    environment = Environment(
        "sandbox", "mlab-sandbox", "measurement-lab.test", {"modes": {}}, Span("e.yaml", 2, 1), {}
    )
    resource = Resource(HOST, {"a": [1, {"b": None}]}, Span("s.yaml", 3), deps=frozenset({HOST}), payload=b"\x00\xff")
    value = wanted.Wanted(environment, (), {"epoxy": (resource,)}, {"hit": 1})
    read = wanted.decode(wanted.encode(value))
    assert read == value
    assert isinstance(read, wanted.Wanted) and read.desired["epoxy"][0].payload == b"\x00\xff"


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", pickle.dumps({"a": 1}), pickle.dumps(pytest.approx), pickle.dumps(print)]
)
def test_nothing_but_what_is_wanted_is_read(content: bytes) -> None:
    with pytest.raises(ValueError, match="rendering process"):
        wanted.decode(content)


def test_a_state_that_is_good_from_the_start_is_no_news(tmp_path: Path) -> None:
    notices = Notices("sandbox", tmp_path / "notices.json")
    assert notices.take([State("sandbox/epoxy", "in_sync")]) == []
    assert [n.state for n in notices.take([State("sandbox/epoxy", "failed", error="no answer")])] == ["failed"]
    assert notices.take([State("sandbox/epoxy", "failed", error="another word")]) == []
    assert [n.state for n in notices.take([State("sandbox/epoxy", "unknown"), State("sandbox/epoxy", "in_sync")])] == [
        "in_sync"
    ]
