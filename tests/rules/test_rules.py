"""Each rule passes, fails, and stands exactly at its limit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet import addresses, names, rules
from reconcilers.fleet.derive import under
from reconcilers.fleet.model import Entity, Experiment, Fleet, Site, Switch
from reconcilers.fleet.rules import alerts, prefixes
from reconcilers.fleet.rules.rule import Absent
from tests import fleet_values as values


def fleet(*sites: Site, experiments: Mapping[str, Experiment] | None = None, **parts: Any) -> Fleet:
    base: dict[str, Any] = {
        "environments": {name: values.environment(name) for name in values.PROJECTS},
        "sites": {site.name: site for site in sorted(sites, key=lambda site: site.name)},
        "experiments": values.experiments() if experiments is None else experiments,
        "routing": None,
        **{part: {} for part in ("datatypes", "embargo", "alerts", "images", "buckets", "acks")},
        **parts,
    }
    return Fleet(**base)


def problems(code: str, subject: Fleet, absent: Absent | None = None, severity: str = "error") -> list[str]:
    found = [*rules.check_each(subject, absent), *rules.check_across(subject, absent)]
    return [problem.message for problem in found if problem.code == code and problem.severity == severity]


def aged(site: Site, created: str) -> Site:
    return dataclasses.replace(site, lifecycle=dataclasses.replace(site.lifecycle, created=date.fromisoformat(created)))


def entity(kind: str, name: str, **data: Any) -> Entity:
    return Entity(kind, name, {"name": name, **data}, Span(f"config/{kind}/{name}.yaml", 1, 1))


def experiment(name: str, index: int | None, *, aliases: tuple[str, ...] = (), data: Any = None) -> Experiment:
    file = Span(f"config/experiments/{name}.yaml", 1, 1)
    return Experiment(name, index, aliases, False, True, ("mlab-oti",), 1, (), (), data or {}, file)


REAL = (values.lga05(), values.chs0t(), values.del02(), values.trn02(), values.lga1t())


def test_the_real_sites_break_no_rule() -> None:
    subject = fleet(*REAL, values.nuq08())
    found = [*rules.check_each(subject), *rules.check_across(subject)]
    assert [problem.line() for problem in found if problem.severity == "error"] == []


# S02


def test_prefixes_that_touch_do_not_overlap() -> None:
    a = values.physical("lga05", "198.18.0.0/26", "2001:db8:0:1::/64")
    b = values.physical("lga06", "198.18.0.64/26", "2001:db8:0:2::/64")
    assert problems("S02", fleet(a, b)) == []


@pytest.mark.parametrize("prefix", ["198.18.0.0/26", "198.18.0.0/28", "198.18.0.48/28", "198.18.0.56/29"])
def test_a_prefix_inside_another_overlaps_it_and_is_told_once(prefix: str) -> None:
    a = values.physical("lga05", "198.18.0.0/26", None)
    b = aged(values.physical("lga06", prefix, None, machines=("mlab1",), switch=None), "2031-01-01")
    assert problems("S02", fleet(a, b)) == [f"{prefix} overlaps lga05 (198.18.0.0/26); give one of them another prefix"]


def test_three_sites_with_one_prefix_are_three_pairs() -> None:
    sites = [values.physical(name, "198.18.0.0/26", None) for name in ("lga01", "lga02", "lga03")]
    assert len(problems("S02", fleet(*sites))) == 3


@pytest.mark.parametrize(
    ("state", "count"), [("active", 1), ("planned", 1), ("lame-duck", 1), ("retired", 0), ("unlisted", 0)]
)
def test_only_sites_that_hold_addresses_count(state: Any, count: int) -> None:
    other = values.physical("lga06", "198.18.0.0/26", None, state=state)
    assert len(problems("S02", fleet(values.physical("lga05", "198.18.0.0/26", None), other))) == count


def test_a_virtual_machine_in_somebodys_prefix_is_an_overlap() -> None:
    machine = values.virtual("chs01", {"mlab1": ("198.18.0.63", None)})
    outside = values.virtual("chs02", {"mlab1": ("198.18.0.64", None)})
    site = values.physical("lga05", "198.18.0.0/26", None)
    assert len(problems("S02", fleet(site, machine))) == 1
    assert problems("S02", fleet(site, outside)) == []


def test_the_newer_site_is_blamed_and_free_prefixes_near_it_are_offered() -> None:
    old = aged(values.physical("zzz05", "198.18.0.0/26", None), "2019-01-01")
    new = aged(values.physical("aaa06", "198.18.0.0/26", None), "2024-01-01")
    found = [problem for problem in rules.check_across(fleet(old, new)) if problem.code == "S02"]
    assert [problem.span.file for problem in found] == ["config/sites/aaa06.yaml"]
    assert found[0].related[0][0].file == "config/sites/zzz05.yaml"
    assert found[0].hint == "free near it: 198.18.0.64/26, 198.18.0.128/26, 198.18.0.192/26"


def test_free_prefixes_are_free() -> None:
    sites = [values.physical(f"lga{n:02}", f"198.18.{n}.64/26", f"2001:db8:{n:x}::/64") for n in range(20)]
    subject = fleet(*sites)
    lines = list(prefixes.OVERLAP.remedy(subject))
    free = [IPv4Network(text) for text in lines[0].split(": ")[1].split(", ")]
    assert len(free) == 3
    assert not any(net.overlaps(site.network.ipv4) for net in free for site in sites if site.network)
    free6 = [IPv6Network(text) for text in lines[1].split(": ")[1].split(", ")]
    assert not any(
        net.overlaps(site.network.ipv6) for net in free6 for site in sites if site.network and site.network.ipv6
    )


# S04


@pytest.mark.parametrize(
    "prefix",
    [
        "192.0.2.0/26",
        "198.51.100.0/26",
        "203.0.113.0/26",
        "198.18.0.0/26",
        "198.19.255.192/26",
        "8.8.8.0/26",
        "223.255.255.192/26",
        "9.255.255.192/26",
        "11.0.0.0/26",
    ],
)
def test_global_documentation_and_benchmarking_prefixes_pass(prefix: str) -> None:
    assert problems("S04", fleet(values.physical("lga05", prefix, None))) == []


@pytest.mark.parametrize(
    "prefix",
    [
        "10.0.0.0/26",
        "10.255.255.192/26",
        "100.64.0.0/26",
        "127.0.0.0/26",
        "169.254.1.0/26",
        "172.31.255.192/26",
        "192.168.1.64/26",
        "224.0.0.0/26",
        "255.255.255.192/26",
        "0.0.0.0/26",
    ],
)
def test_prefixes_that_nobody_routes_fail(prefix: str) -> None:
    assert len(problems("S04", fleet(values.physical("lga05", prefix, None)))) == 1


@pytest.mark.parametrize(
    ("prefix", "count"),
    [
        ("2001:db8::/64", 0),
        ("2001:2::/64", 0),
        ("2a00::/64", 0),
        ("fc00::/64", 1),
        ("fe80::/64", 1),
        ("2002::/64", 1),
        ("2001:1::/64", 1),
        ("::/64", 1),
        ("4000::/64", 1),
    ],
)
def test_ipv6_prefixes_are_global_unicast(prefix: str, count: int) -> None:
    assert len(problems("S04", fleet(values.physical("lga05", "198.18.0.0/26", prefix)))) == count


def test_host_bits_are_named_with_the_network_to_write() -> None:
    assert prefixes.host_bits("198.18.0.1/26", IPv4Network("198.18.0.0/26")).endswith("write 198.18.0.0/26")
    assert prefixes.host_bits("198.18.0.64/26", IPv4Network("198.18.0.64/26")) == ""


# S05, S06, S07


def test_a_small_site_has_no_room_for_a_switch() -> None:
    site = values.physical("lga05", "198.18.0.0/28", None, machines=("mlab1",), switch=Switch())
    assert [text for text in problems("S05", fleet(site)) if "BMC of mlab1 and switch would both have offset 2" in text]
    assert problems("S05", fleet(dataclasses.replace(site, switch=None))) == []


@pytest.mark.parametrize("length", [28, 29])
def test_a_small_site_has_one_machine(length: int) -> None:
    site = values.physical("lga05", f"198.18.0.0/{length}", None, machines=("mlab1", "mlab2"), switch=None)
    assert len(problems("S05", fleet(site))) == 1


@pytest.mark.parametrize("length", [27, 30, 32])
def test_other_lengths_have_no_layout(length: int) -> None:
    site = values.physical("lga05", f"198.18.0.0/{length}", None, machines=("mlab1",), switch=None)
    assert problems("S05", fleet(site)) != []


def test_two_machines_of_a_virtual_site_need_two_addresses() -> None:
    same = values.virtual("chs01", {"mlab1": ("198.18.0.1", None), "mlab2": ("198.18.0.1", None)})
    assert problems("S05", fleet(same)) == ["mlab2 has 198.18.0.1, which is mlab1's; give it its own address"]


@pytest.mark.parametrize(("index", "notes"), [(11, 0), (12, 1)])
def test_an_index_without_slot_is_a_note(index: int, notes: int) -> None:
    subject = fleet(values.nuq08(), experiments={"demo": experiment("demo", index)})
    assert problems("S06", subject) == []
    assert len(problems("S06", subject, severity="note")) == notes


@pytest.mark.parametrize(("index", "errors"), [(11, 0), (12, 1)])
def test_an_index_without_slot_is_an_error_where_the_site_is_selected(index: int, errors: int) -> None:
    data = {"placements": [{"type": "physical", "selector": {"mlab/site": "nuq08"}}]}
    subject = fleet(values.nuq08(), experiments={"demo": experiment("demo", index, data=data)})
    assert len(problems("S06", subject)) == errors


@pytest.mark.parametrize("prefix", ["198.18.0.0/26", "198.18.0.64/26", "198.18.0.128/26", "198.18.0.192/26"])
def test_the_node_derives_what_we_publish_in_every_quarter(prefix: str) -> None:
    site = values.physical("lga05", prefix, "2001:db8::/64")
    assert problems("S07", fleet(site)) == []
    assert site.network and site.network.ipv6
    for machine in addresses.MACHINES:
        own6 = addresses.machine6(site.network.ipv4, site.network.ipv6, machine)
        for index in range(1, 13):
            _, ipv6 = addresses.index2ip(addresses.machine4(site.network.ipv4, machine), own6, index)
            ours = addresses.experiment6(site.network.ipv4, site.network.ipv6, machine, index)
            assert IPv6Address(ipv6) == IPv6Address(ours) and IPv6Address(ours) in site.network.ipv6


@pytest.mark.parametrize(
    ("gateway", "count"),
    [("2001:db8::1", 0), ("2001:db8::ffff", 0), ("2001:db8:1::1", 1), ("2001:db8::9", 1), ("2001:db8::11", 1)],
)
def test_an_ipv6_gateway_is_inside_and_nobody_elses(gateway: str, count: int) -> None:
    site = values.physical("lga05", "198.18.0.0/26", "2001:db8::/64")
    assert site.network
    site = dataclasses.replace(site, network=dataclasses.replace(site.network, ipv6_gateway=gateway))
    assert len(problems("S07", fleet(site))) == count


def test_an_ipv6_prefix_too_long_for_three_digits_fails() -> None:
    assert len(problems("S07", fleet(values.physical("lga05", "198.18.0.0/26", "2001:db8::/120")))) == 1


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
    hosts = [host.hostname for host in (*derived.machines, *derived.experiments)]
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
    assert {rule.code for rule in rules.ALL} >= {
        "S01",
        "S02",
        "S04",
        "S05",
        "S06",
        "S07",
        "S08",
        "S10",
        "S13",
        "E01",
        "A01",
        "M01",
    }
    assert all(len(rule.text) > 80 and len(rule.summary) < 110 for rule in rules.ALL)
