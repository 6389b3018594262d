"""Alerts: what an expression speaks of, which labels its result keeps, and what must be watched."""

from __future__ import annotations

from typing import Any

import pytest

from reconcilers.fleet import promql
from reconcilers.fleet.model import Entity, Experiment
from reconcilers.fleet.rules.rule import Absent
from tests import fleet_values as values
from tests.rules.subjects import entity, experiment, fleet, problems


@pytest.mark.parametrize(
    ("text", "has", "lacks"),
    [
        ("up", ["site", "machine"], []),
        ('up{site=""}', ["machine"], ["site"]),
        ("up == 0", ["site"], []),
        ("1 - up", ["site"], []),
        ("up > bool 1", ["site"], []),
        ("time() - up", ["site"], []),
        ("vector(1)", [], ["site"]),
        ("vector(0) or up", ["site"], []),
        ("sum(up)", [], ["site"]),
        ("sum by (site) (up)", ["site"], ["machine"]),
        ("sum without (site) (up)", ["machine"], ["site"]),
        ('sum by (site) (up{site=""})', [], ["site"]),
        ("sum without (site) (sum by (site, job) (up))", ["job"], ["site", "machine"]),
        ("topk(3, up)", ["site"], []),
        ("topk by (job) (3, up)", ["site"], []),
        ('count_values by (job) ("version", up)', ["version", "job"], ["site"]),
        ("absent(up)", [], ["site"]),
        ('absent(up{site="lga05", job=~"x|y"})', ["site"], ["job"]),
        ("absent_over_time(up{site='lga05'}[5m])", ["site"], ["machine"]),
        ('label_replace(sum(up), "site", "$1", "x", "(.*)")', ["site"], ["machine"]),
        ('label_join(sum(up), "site", "-", "x")', ["site"], ["machine"]),
        ("histogram_quantile(0.9, sum by (le, site) (rate(x_bucket[5m])))", ["site"], ["le", "machine"]),
        ("quantile_over_time(0.5, up[5m])", ["site"], []),
        ("max_over_time(sum by (site) (up)[1h:5m])", ["site"], ["machine"]),
        ("rate(up[5m]) > 0 and on (site) sum by (site) (down)", ["machine"], []),
        ("sum by (site) (up) unless on (site) down", ["site"], ["machine"]),
        ("sum by (site) (up) or sum by (machine) (down)", ["site", "machine"], ["job"]),
        ("up or sum by (site) (down)", ["site", "job"], []),
        ("up + on (site) down", ["site"], ["machine"]),
        ("up + ignoring (site) down", ["machine"], ["site"]),
        ("sum by (site) (up) * on (site) group_left (machine) info", ["site", "machine"], ["job"]),
        ("sum by (site) (up) * on (site) group_left (machine) sum by (site) (info)", ["site"], ["machine"]),
        ("info * on (site) group_right (job) sum by (site, machine) (up)", ["site", "machine", "job"], ["node"]),
        ("-(sum by (site) (up))", ["site"], ["machine"]),
        ("scalar(up) + sum by (site) (up)", ["site"], ["machine"]),
    ],
)
def test_labels_of_a_result(text: str, has: list[str], lacks: list[str]) -> None:
    query = promql.read(text)
    assert not query.error
    assert [label for label in has if not query.labels.has(label)] == []
    assert [label for label in lacks if query.labels.has(label)] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sum(", "parenthesis"),
        ("rate(up)", "expected type"),
        ("nosuch(up)", "unknown function"),
        ('up{job=~"("}', "regex"),
        ("", "no expression"),
        ("up " * 2000, "above the limit of 4096"),
        ("(" * 101 + "up" + ")" * 101, "more than 100"),
        ("-" * 101 + "1", "more than 100"),
    ],
)
def test_what_cannot_be_parsed_is_said_in_one_line(text: str, words: str) -> None:
    error = promql.read(text).error
    assert words in error and "\n" not in error and len(error) <= 160


@pytest.mark.parametrize("text", ["up" + " + up" * 100, "(" * 100 + "up" + ")" * 100])
def test_expressions_at_the_limit_are_read(text: str) -> None:
    assert promql.read(text).error == ""


def test_series_are_found_everywhere_with_their_conditions() -> None:
    text = 'absent(a{x="1"}) or topk(scalar(b), c[5m:1m] offset 1d) unless {__name__="d:e", y!~"2|3"}'
    names = [(selector.name, selector.absent) for selector in promql.read("absent(a) or c + d unless e").selectors]
    assert names == [("a", True), ("c", False), ("d", False), ("e", False)]
    found = promql.read(text.replace("c[5m:1m] offset 1d", "max_over_time(c[5m:1m] offset 1d)")).selectors
    assert [selector.name for selector in found if selector.name] == ["a", "c", "b", "d:e"]
    assert found[-1].matchers[-1] == promql.Matcher("y", "!~", "2|3")


# A02


def group(*alerts: dict[str, Any], cluster: str = "platform", **data: Any) -> dict[str, Entity]:
    made = [{"alert": f"Alert{n}", "expr": "up == 0", **alert} for n, alert in enumerate(alerts)]
    return {"g": entity("alerts", "g", cluster=cluster, alerts=made, **data)}


def running(*names: str, projects: tuple[str, ...] = ("mlab-oti",), kind: str = "physical") -> dict[str, Experiment]:
    placed = [{"name": name, "type": kind, "hostNetwork": True, "projects": list(projects)} for name in names]
    return {"demo": experiment("demo", 1, data={"placements": placed})}


@pytest.mark.parametrize(
    ("alert", "count"),
    [
        ({}, 0),
        ({"expr": "sum("}, 1),
        ({"missing": {"metric": "up{", "for": "1h"}}, 1),
        ({"missing": {"metric": "up{job='x'}", "for": "1h"}}, 0),
        ({"expr": "sum by (site) (up) == 0", "maintenance": "site"}, 0),
        ({"expr": "sum by (job) (up) == 0", "maintenance": "site"}, 1),
        ({"expr": "sum by (site) (up) == 0", "maintenance": "machine"}, 1),
        ({"expr": "sum by (site) (up) == 0", "maintenance": "none"}, 0),
        ({"expr": "sum by (site) (up) == 0", "maintenance": "site", "lame_duck": True}, 1),
        ({"expr": "sum by (machine) (up) == 0", "lame_duck": True}, 0),
    ],
)
def test_an_expression_is_read_and_keeps_what_maintenance_is_joined_on(alert: dict[str, Any], count: int) -> None:
    assert len(problems("A02", fleet(alerts=group(alert)))) == count


def test_recording_rules_are_read_too() -> None:
    broken = group(records=[{"record": "a:b", "expr": "sum("}])
    assert len(problems("A02", fleet(alerts=broken))) == 1


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ('deployment="one"', 0),
        ('deployment="eins"', 1),
        ('deployment!="eins"', 1),
        ('deployment=""', 0),
        ('workload="system-part"', 0),
        ('daemonset="eins"', 1),
        ('deployment=~"one|two"', 0),
        ('deployment=~"one|zwei"', 1),
        ('deployment=~"eins|zwei"', 2),
        ('deployment!~"one|zwei"', 1),
        ('deployment=~"o.*"', 0),
        ('deployment=~"x.*"', 1),
        ('job="eins"', 0),
    ],
)
def test_an_expression_speaks_of_workloads_that_exist(condition: str, count: int) -> None:
    parts: dict[str, Any] = {
        "experiments": running("one", "two"),
        "images": {"system": entity("images", "system", images={"system-part": {}})},
    }
    text = f"up{{{condition}}} == 0"
    assert len(problems("A02", fleet(alerts=group({"expr": text}), **parts))) == count
    elsewhere = group({"expr": text}, cluster="prometheus-federation")
    assert problems("A02", fleet(alerts=elsewhere, **parts)) == []
    unread = Absent({"experiments": frozenset({"three"})})
    assert problems("A02", fleet(alerts=group({"expr": text}), **parts), unread) == []


# A03


def uncovered(*alerts: dict[str, Any], sites: Any = (), **parts: Any) -> list[str]:
    return problems("A03", fleet(*sites, alerts=group(*alerts), **parts))


@pytest.mark.parametrize(
    ("expr", "left"),
    [
        ('absent(up{deployment="one"}) or absent(up{deployment="two"})', 0),
        ('absent(up{deployment=~"one|two"})', 0),
        ('absent_over_time(up{workload=~"one|two"}[5m])', 0),
        ('absent(kube_daemonset_status_number_ready{daemonset=~".+"})', 0),
        ('absent(up{deployment="one"})', 1),
        ('absent(up{deployment!="one"})', 1),
        ('absent(up{deployment=~"one|two", deployment!="two"})', 1),
        ('up{deployment=~"one|two"} == 0', 2),
        ("absent(up)", 2),
    ],
)
def test_each_workload_of_production_is_missed_by_some_alert(expr: str, left: int) -> None:
    assert len(uncovered({"expr": expr}, experiments=running("one", "two"))) == left


def test_workloads_that_production_lacks_are_not_missed() -> None:
    assert uncovered({}, experiments=running("one", projects=("mlab-sandbox",))) == []


@pytest.mark.parametrize(("images", "count"), [({"disco": {}}, 1), ({"reloader": {}}, 0)])
def test_the_systems_programs_are_missed_too(images: Any, count: int) -> None:
    system = {"system": entity("images", "system", images=images)}
    assert len(uncovered({}, experiments={}, images=system)) == count


@pytest.mark.parametrize(
    ("expr", "physical", "virtual"),
    [
        ('probe_success{service="ndt7"} == 0', 0, 0),
        ("probe_success == 0", 0, 0),
        ('probe_success{module="icmp"} == 0', 0, 1),
        ('probe_success{service="ssh"} == 0', 0, 1),
        ('probe_success{service=~"ndt.*"} == 0', 0, 0),
        ('probe_success{service!~"ndt.*", module!="icmp", service!="ssh"} == 0', 0, 1),
        ('probe_success{service="nothing"} == 0', 1, 1),
        ('absent(probe_success{service="ndt7"})', 1, 1),
        ("up == 0", 1, 1),
    ],
)
def test_each_type_of_site_is_missed_when_it_cannot_be_reached(expr: str, physical: int, virtual: int) -> None:
    every = {**values.experiments()}
    asked = {"expr": 'absent(up{deployment=~".+"})'}
    for site, count in ((values.lga05(), physical), (values.chs0t(), virtual)):
        assert len(uncovered({"expr": expr}, asked, sites=(site,), experiments=every)) == count
    assert uncovered({"expr": expr}, asked, sites=(values.lga05(state="retired"),), experiments=every) == []


def test_without_alerts_or_with_files_unread_nothing_is_said() -> None:
    assert problems("A03", fleet(values.lga05(), experiments=running("one"))) == []
    subject = fleet(alerts=group({}), experiments=running("one"))
    for folder in ("alerts", "experiments", "images"):
        assert problems("A03", subject, Absent({folder: frozenset({"x"})})) == []
