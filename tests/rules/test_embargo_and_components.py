"""Embargo rules over a leap day and when they are gone; component versions during an upgrade."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from reconcilers.fleet import rules
from reconcilers.fleet.past import Past, Times
from reconcilers.fleet.rules import embargo
from reconcilers.fleet.rules.rule import Absent
from tests.rules.subjects import entity, fleet, over_time, problems


def held(period: str = "365d", expires: str = "2030-01-31", state: str = "active") -> dict[str, Any]:
    made = entity("embargo", "a", datatypes=["pcap"], period=period, expires=expires, state=state)
    return {"embargo": {"a": made}}


@pytest.mark.parametrize(
    ("day", "days"),
    [
        (date(2027, 2, 28), 365),
        (date(2027, 3, 1), 366),
        (date(2028, 2, 28), 366),
        (date(2028, 2, 29), 365),
        (date(2028, 3, 1), 365),
        (date(2026, 11, 25), 365),
    ],
)
def test_a_year_has_a_leap_day_or_not(day: date, days: int) -> None:
    assert embargo.year_after(day) == days


@pytest.mark.parametrize(
    ("today", "expires", "count"),
    [
        (date(2027, 3, 1), "2028-02-28", 0),
        (date(2027, 2, 28), "2028-02-28", 1),
        (date(2027, 3, 1), "2028-02-29", 1),
        (date(2027, 6, 1), "2027-06-01", 0),
        (date(2027, 6, 1), "2032-01-01", 1),
        (date(2026, 11, 25), "2027-01-31", 1),
        (date(2027, 6, 1), "2027-05-31", 0),
    ],
)
def test_366_days_are_a_year_only_across_a_leap_day(today: date, expires: str, count: int) -> None:
    subject = fleet(**held("366d", expires))
    found = rules.check_over_time(subject, Absent(), Times(today))
    assert sum(problem.severity == "error" for problem in found) == count
    for kept in (held("365d", expires), held("366d", expires, "lifted")):
        found = rules.check_over_time(fleet(**kept), Absent(), Times(today))
        assert sum(problem.severity == "error" for problem in found) == 0


@pytest.mark.parametrize(("expires", "count"), [("2026-11-24", 1), ("2026-11-25", 0)])
def test_a_rule_that_expired_is_warned_of(expires: str, count: int) -> None:
    found = rules.check_over_time(fleet(**held(expires=expires)), Absent(), Times(date(2026, 11, 25)))
    assert [problem.severity for problem in found] == ["warning"] * count
    assert (
        rules.check_over_time(fleet(**held(expires=expires, state="lifted")), Absent(), Times(date(2027, 1, 1))) == ()
    )


@pytest.mark.parametrize(("commit", "words"), [("abc1234", "removed in abc1234"), ("", "is gone")])
def test_the_record_of_an_embargo_stays(commit: str, words: str) -> None:
    (message,) = over_time("M01", fleet(), Past(lost={"old": commit}))
    assert words in message and "state: lifted" in message
    assert over_time("M01", fleet(**held()), Past(lost={"a": commit})) == []
    unread = Absent({"embargo": frozenset({"old"})})
    assert rules.check_over_time(fleet(), unread, Times(date(2026, 11, 25), Past(lost={"old": commit}))) == ()


def components(cluster: str, image: str, pinned: str | None = None) -> dict[str, Any]:
    made = {"components": entity("images", "components", components={"flannel": {"cluster": cluster, "image": image}})}
    if pinned is not None:
        made["system"] = entity("images", "system", images={"flannel": {"name": "flannel", "version": pinned}})
    return {"images": made}


@pytest.mark.parametrize(
    ("cluster", "image", "severity"),
    [
        ("v1.32.10", "v1.32.10", None),
        ("v1.32.10", "v1.32.9", "warning"),
        ("v1.32.10", "v1.31.14", "warning"),
        ("v1.32.10", "v1.30.14", "error"),
        ("v1.32.10", "v1.33.0", "error"),
        ("v2.0.0", "v1.32.0", "error"),
        ("1.32", "v1.31.0", "warning"),
    ],
)
def test_nodes_are_one_minor_version_behind_at_most(cluster: str, image: str, severity: str | None) -> None:
    subject = fleet(**components(cluster, image))
    assert {kind: len(problems("M02", subject, severity=kind)) for kind in ("error", "warning")} == {
        "error": severity == "error",
        "warning": severity == "warning",
    }


@pytest.mark.parametrize(("pinned", "count"), [(None, 0), ("v0.27.4", 0), ("v0.27.3", 1)])
def test_a_component_that_is_a_container_too_has_one_version(pinned: str | None, count: int) -> None:
    subject = fleet(**components("v0.27.4", "v0.27.4", pinned))
    assert len(problems("M02", subject)) == count
    assert problems("M02", subject, Absent({"images": frozenset({"x"})})) == []
