"""Each rule passes, fails, and stands exactly at its limit."""

from __future__ import annotations

import dataclasses

import pytest

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet import names, rules
from reconcilers.fleet.derive import under
from reconcilers.fleet.model import Entity, Site
from reconcilers.fleet.rules import alerts
from reconcilers.fleet.rules.rule import Absent
from tests import fleet_values as values
from tests.rules.subjects import entity, experiment, fleet, problems

REAL = (values.lga05(), values.chs0t(), values.del02(), values.trn02(), values.lga1t())


def test_the_real_sites_break_no_rule() -> None:
    subject = fleet(*REAL)
    found = [*rules.check_each(subject), *rules.check_across(subject)]
    assert [problem.line() for problem in found] == []


def test_the_one_small_real_site_gives_its_last_experiment_the_broadcast_address() -> None:
    assert problems("S05", fleet(values.nuq08())) == [
        "192.158.252.176/28 of nuq08 has 11 slots, so index 12 (demo12) would be 192.158.252.191, its broadcast "
        "address; allow S06 to leave out demo12 there, or S05 to publish all the same"
    ]


# S08, S10


def test_the_metro_is_how_the_name_begins() -> None:
    elsewhere = dataclasses.replace(values.NEW_YORK, metro="jfk")
    site = values.physical("lga05", "198.18.0.0/26", None, location=elsewhere)
    assert len(problems("S08", fleet(site))) == 1


def test_the_odd_site_of_a_metro_is_told_and_not_the_others() -> None:
    odd = dataclasses.replace(values.NEW_YORK, city="Newark", state="NJ")
    sites = [values.physical(f"lga0{n}", f"198.18.{n}.0/26", None) for n in (1, 2)]
    third = values.physical("lga00", "198.18.0.0/26", None, location=odd)
    found = [problem for problem in rules.check_across(fleet(*sites, third)) if problem.code == "S08"]
    assert {problem.span.file for problem in found} == {"config/sites/lga00.yaml"}
    assert len(found) == 2


def test_a_retired_site_may_differ_from_its_metro() -> None:
    odd = dataclasses.replace(values.NEW_YORK, city="Newark")
    gone = values.physical("lga00", "198.18.0.0/26", None, location=odd, state="retired")
    assert problems("S08", fleet(values.lga05(), gone)) == []


def with_project(site: Site, machine: str, project: str, reason: str = "") -> Site:
    machines = tuple(
        dataclasses.replace(item, project=project, project_reason=reason) if item.name == machine else item
        for item in site.machines
    )
    return dataclasses.replace(site, machines=machines)


@pytest.mark.parametrize(
    ("machine", "project", "reason", "count"),
    [
        ("mlab3", "mlab-oti", "", 0),
        ("mlab4", "mlab-staging", "", 0),
        ("mlab4", "mlab-oti", "", 1),
        ("mlab4", "mlab-oti", "   ", 1),
        ("mlab4", "mlab-oti", "lab machine", 0),
        ("mlab4", "mlab-elsewhere", "lab machine", 1),
    ],
)
def test_a_project_that_differs_from_the_name_needs_a_reason(
    machine: str, project: str, reason: str, count: int
) -> None:
    assert len(problems("S10", fleet(with_project(values.lga05(), machine, project, reason)))) == count


def test_machines_of_test_sites_are_in_the_sandbox() -> None:
    assert problems("S10", fleet(with_project(values.lga1t(), "mlab4", "mlab-sandbox"))) == []
    assert len(problems("S10", fleet(with_project(values.lga1t(), "mlab4", "mlab-staging")))) == 1


def test_no_project_is_called_unknown_while_an_environment_cannot_be_read() -> None:
    subject = fleet(with_project(values.lga05(), "mlab4", "mlab-elsewhere", "lab machine"))
    assert problems("S10", subject, Absent({"environments": frozenset({"sandbox"})})) == []


# S01, S13, E01


def test_names_and_aliases_are_unique_together() -> None:
    made = {"ndt": experiment("ndt", 1, aliases=("ndt.x",)), "wehe": experiment("wehe", 2, aliases=("ndt.x",))}
    assert len(problems("S01", fleet(experiments=made))) == 1


def test_an_object_has_its_files_name() -> None:
    odd = dataclasses.replace(values.lga05(), span=Span("config/sites/lga06.yaml", 2, 1))
    assert len(problems("S01", fleet(odd))) == 1


def test_every_host_name_of_the_real_sites_parses_and_is_unique() -> None:
    subject = fleet(*REAL, values.nuq08())
    assert problems("S13", subject) == []
    derived = under(subject, "measurement-lab.org")
    hosts = [host.hostname for host in derived.machines] + [host.hostname for host in derived.experiments]
    assert len(set(hosts)) == len(hosts) > 200
    for host in derived.machines:
        assert names.parse(host.hostname, domain="measurement-lab.org").machine == host.name
    for entry in derived.experiments:
        assert str(names.parse_published(entry.hostname, domain="measurement-lab.org")) == entry.hostname


@pytest.mark.parametrize(("length", "count"), [(49, 0), (50, 1)])
def test_the_longest_label_has_63_characters(length: int, count: int) -> None:
    assert len("x" * 49 + "-mlab1v4-lga05") == names.LABEL_LIMIT
    alias = "a." + "b" * (length - 2)
    made = {"ndt": experiment("ndt", 1, aliases=(alias,))}
    assert len(problems("S13", fleet(values.lga05(), experiments=made))) == count


def test_two_experiments_with_one_index_are_told_with_the_free_ones() -> None:
    made = {
        "a": experiment("aa", 1),
        "b": experiment("bb", 1),
        "h": experiment("hh", None),
        "i": experiment("ii", None),
    }
    found: list[Diagnostic] = [
        problem for problem in rules.check_across(fleet(experiments=made)) if problem.code == "E01"
    ]
    assert [problem.hint for problem in found] == ["free indexes: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"]


@pytest.mark.parametrize(("index", "count"), [(1, 0), (12, 0), (13, 1), (0, 1)])
def test_an_index_is_within_one_to_twelve(index: int, count: int) -> None:
    assert len(problems("E01", fleet(experiments={"aa": experiment("aa", index)}))) == count


# A01, M01


def group(name: str, *alerts_: str, expr: str = "up == 0", records: tuple[str, ...] = ()) -> Entity:
    made = [{"alert": alert, "expr": expr} for alert in alerts_]
    return entity("alerts", name, alerts=made, records=[{"record": record, "expr": "up"} for record in records])


def test_an_alert_name_is_used_once_over_all_groups() -> None:
    assert problems("A01", fleet(alerts={"a": group("a", "X"), "b": group("b", "Y")})) == []
    assert problems("A01", fleet(alerts={"a": group("a", "X"), "b": group("b", "X")})) == [
        "alert X is already in group a; rename one or remove it"
    ]


def test_a_series_with_a_colon_must_be_recorded_by_some_group() -> None:
    reads = group("a", "X", expr='site:up:count{site=~"a:b"}[5m:1m] < 1')
    assert len(problems("A01", fleet(alerts={"a": reads}))) == 1
    assert problems("A01", fleet(alerts={"a": reads, "b": group("b", records=("site:up:count",))})) == []


def test_no_series_is_called_unrecorded_while_a_group_cannot_be_read() -> None:
    reads = group("a", "X", expr="site:up:count < 1")
    assert problems("A01", fleet(alerts={"a": reads}), Absent({"alerts": frozenset({"b"})})) == []


@pytest.mark.parametrize(
    ("expression", "series"),
    [
        ("a:b", {"a:b"}),
        ('up{x="a:b"}', set()),
        ("rate(up[5m:30s])", set()),
        ("sum by (site) (a:b:c{d='e:f'}) / x:y # z:z", {"a:b:c", "x:y"}),
        ('label_replace(up, "a", "b:c", "d", "e")', set()),
    ],
)
def test_recorded_series_are_found_in_expressions(expression: str, series: set[str]) -> None:
    assert alerts.recorded_series(expression) == series


def embargo(name: str, *datatypes: str, state: str = "active", period: str = "365d") -> Entity:
    return entity("embargo", name, datatypes=list(datatypes), state=state, period=period)


def test_an_embargo_names_datatypes_that_exist_or_that_every_experiment_has() -> None:
    known = {"ndt7": entity("datatypes", "ndt7")}
    fine = {"a": embargo("a", "ndt7", "tcpinfo")}
    assert problems("M01", fleet(datatypes=known, embargo=fine)) == []
    unknown = {"a": embargo("a", "ndt8")}
    assert len(problems("M01", fleet(datatypes=known, embargo=unknown))) == 1
    assert problems("M01", fleet(embargo=unknown), Absent({"datatypes": frozenset({"ndt8"})})) == []


@pytest.mark.parametrize(("state", "count"), [("active", 1), ("lifted", 0)])
def test_one_active_rule_decides_about_a_datatype(state: str, count: int) -> None:
    two = {"a": embargo("a", "pcap"), "b": embargo("b", "pcap", state=state)}
    assert len(problems("M01", fleet(embargo=two))) == count


@pytest.mark.parametrize(("period", "count"), [("1d", 0), ("366d", 0), ("367d", 1), ("0d", 1)])
def test_an_embargo_ends_within_a_year(period: str, count: int) -> None:
    assert len(problems("M01", fleet(embargo={"a": embargo("a", "pcap", period=period)}))) == count


def test_codes_and_names_are_unique_and_explained() -> None:
    assert len({rule.code for rule in rules.ALL}) == len({rule.name for rule in rules.ALL}) == len(rules.ALL)
    counts = {"S": 16, "E": 6, "A": 3, "M": 3, "Z": 1, "W": 2}
    wanted = {f"{letter}{number:02}" for letter, count in counts.items() for number in range(1, count + 1)}
    assert {rule.code for rule in rules.ALL} == wanted
    assert all(len(rule.text) > 80 and len(rule.summary) < 110 for rule in rules.ALL)
