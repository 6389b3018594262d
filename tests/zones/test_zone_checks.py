"""Zones that no name server would refuse and no resolver would understand: each is found, with its line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Span
from reconcilers.fleet import zone_checks, zones
from reconcilers.fleet.zones import RecordSet, Zone
from reconcilers.load import codes
from reconcilers.load import fleet as loading
from reconcilers.render import dns as rendering
from tests import fleet_values as values
from tests import fleets
from tests.config.configuration import committed

DOMAIN = "example.test"
HERE = Span("config/zones/x.yaml", 7, 3)


def record(name: str, kind: Any, *found: str, ttl_s: int = 300, span: Span = HERE) -> RecordSet:
    return RecordSet(name, kind, ttl_s, found, span)


def zone(*found: RecordSet, domain: str = DOMAIN) -> Zone:
    return Zone(domain, 300, found)


PLAIN = record("www", "A", "192.0.2.1")


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("D02", (record("@", "CNAME", "www.example.test."), PLAIN)),
        ("D02", (record("www", "CNAME", "elsewhere.org."), PLAIN)),
        ("D02", (record("x", "CNAME", "a.org.", "b.org."),)),
        ("D03", (record("x", "CNAME", "nobody.example.test."),)),
        ("D03", (record("x", "CNAME", "Nobody.Example.test."),)),
        ("D03", (record("@", "MX", "10 mail.example.test."),)),
        ("D03", (record("sub", "NS", "ns.example.test."),)),
        ("D05", (record("x" * 64, "A", "192.0.2.1"),)),
        ("D05", (record(".".join(["x" * 60] * 4), "A", "192.0.2.1"),)),
        ("D06", (record("x", "A", "192.0.2.1", ttl_s=29),)),
        ("D06", (record("x", "A", "192.0.2.1", ttl_s=86_401),)),
    ],
)
def test_what_is_wrong_with_records_is_found_with_its_line(code: str, found: tuple[RecordSet, ...]) -> None:
    (problem,) = zone_checks.records([zone(*found)])
    assert (problem.code, problem.span) == (code, HERE) and problem.message


@pytest.mark.parametrize(
    "found",
    [
        (record("x", "CNAME", "www.example.test."), PLAIN),
        (record("x", "CNAME", "example.test."),),
        (record("x", "CNAME", "anything.elsewhere.org."),),
        (record("_acme-challenge", "CNAME", "x.acme.example.test."),),
        (record("_acme-challenge.www", "CNAME", "x.acme.example.test."),),
        (record("sub", "NS", "ns.elsewhere.org."), record("x", "CNAME", "deep.in.sub.example.test.")),
        (record("@", "MX", "0 ."),),
        (record("x" * 63, "A", "192.0.2.1", ttl_s=30), record("y", "A", "192.0.2.1", ttl_s=86_400)),
        (record("www", "TXT", '"x"'), PLAIN),
    ],
)
def test_what_is_right_is_not_found(found: tuple[RecordSet, ...]) -> None:
    assert zone_checks.records([zone(*found)]) == []


def test_a_target_in_another_zone_of_ours_is_looked_up_there() -> None:
    below = zone(record("a", "A", "192.0.2.1"), domain=f"sub.{DOMAIN}")
    there = zone(record("x", "CNAME", f"a.sub.{DOMAIN}."))
    gone = zone(record("x", "CNAME", f"b.sub.{DOMAIN}."))
    assert zone_checks.records([there, below]) == []
    assert [p.code for p in zone_checks.records([gone, below])] == ["D03"]


def test_a_reverse_record_names_a_host_with_its_address() -> None:
    hosts = zone(record("a", "A", "192.0.2.1"), record("a", "AAAA", "2001:db8::1"))
    six = "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2"
    right = [zone(record("1", "PTR", f"a.{DOMAIN}."), domain="2.0.192.in-addr.arpa")]
    right += [zone(record(six, "PTR", f"a.{DOMAIN}."), domain="ip6.arpa")]
    assert zone_checks.records([hosts, *right]) == []
    wrong = zone(record("2", "PTR", f"a.{DOMAIN}."), domain="2.0.192.in-addr.arpa")
    assert [p.code for p in zone_checks.records([hosts, wrong])] == ["D08"]


def checked(*found: RecordSet) -> list[str]:
    fleet = values.fleet(values.lga05(), values.chs0t())
    return [p.code for p in zone_checks.check(fleet, environment(), [zone(*found)])]


def environment(**data: Any) -> Any:
    return values.environment("sandbox", data={"targets": {"dns": {"zones": [DOMAIN]}}, **data})


@pytest.mark.parametrize(
    ("kind", "address", "file", "codes_"),
    [
        ("A", "4.35.94.63", "lga05", []),
        ("A", "4.35.94.64", "lga05", ["D04"]),
        ("A", "4.35.93.255", "lga05", ["D04"]),
        ("AAAA", "2001:1900:2100:14::9", "lga05", []),
        ("AAAA", "2001:1900:2100:15::9", "lga05", ["D04"]),
        ("A", "34.148.229.79", "chs0t", []),
        ("A", "34.148.229.80", "chs0t", ["D04"]),
        ("A", "192.0.2.1", "nobody", []),
    ],
)
def test_an_address_is_one_of_the_site_whose_file_it_comes_from(
    kind: str, address: str, file: str, codes_: list[str]
) -> None:
    assert checked(record("x", kind, address, span=Span(f"config/sites/{file}.yaml", 5))) == codes_


def test_each_machine_has_the_records_that_its_experiments_imply() -> None:
    fleet = committed()
    for environment in fleet.environments.values():
        served = zones.served(fleet, environment)
        assert zone_checks.check(fleet, environment, served) == []
        project = served[-1]
        without = zones.Hosts(tuple(r for r in project.hosts.records if r.name != "ndt-mlab1-lga05"))
        short = dataclasses.replace(project, hosts=without)
        problems = zone_checks.check(fleet, environment, [short])
        assert [p.code for p in problems] == ["D07", "D07"]
        assert all(p.span.file == "config/sites/lga05.yaml" and "mlab1-lga05 has" in p.message for p in problems)


def test_what_is_wrong_with_the_fleets_own_records_is_found_in_each_zone_that_has_them() -> None:
    fleet = committed()
    site = fleet.sites["lga05"]
    assert site.network is not None
    moved = dataclasses.replace(site.network, ipv4=fleet.sites["lga06"].network.ipv4)  # type: ignore[union-attr]
    elsewhere = dataclasses.replace(fleet, sites={**fleet.sites, "lga05": dataclasses.replace(site, network=moved)})
    for environment in fleet.environments.values():
        project = zones.served(fleet, environment)[-1]
        problems = zone_checks.check(elsewhere, environment, [project])
        assert {p.code for p in problems} == {"D04"} and {p.span.file for p in problems} == {site.span.file}
        assert zone_checks.check(fleet, environment, [project]) == []


def test_the_fleets_own_records_are_measured_under_each_zones_name() -> None:
    fleet = committed()
    environment = fleet.environments["sandbox"]
    project = zones.served(fleet, environment)[-1]
    room = zone_checks.NAME_LIMIT - project.hosts.longest - 1
    fits, not_quite = (dataclasses.replace(project, domain="x" * length, fixed=()) for length in (room, room + 1))
    assert zone_checks.records([fits]) == []
    assert {p.code for p in zone_checks.records([not_quite])} == {"D05"}
    assert len(zone_checks.records([dataclasses.replace(fits, ttl_s=86_401, hosts=_slow(project.hosts))])) == len(
        project.hosts.records
    )


def _slow(hosts: zones.Hosts) -> zones.Hosts:
    return zones.Hosts(tuple(structs.replace(record, ttl_s=86_401) for record in hosts.records))


def test_an_alias_of_a_hosts_name_is_found() -> None:
    fleet = committed()
    environment = fleet.environments["sandbox"]
    project = zones.served(fleet, environment)[-1]
    twin = record("mlab1-lga0t", "CNAME", f"mlab2-lga0t.{project.domain}.")
    (problem,) = zone_checks.records([dataclasses.replace(project, fixed=(twin,))])
    assert problem.code == "D02" and "has AAAA records too" in problem.message


def test_a_zone_that_the_target_does_not_write_stops_the_rendering_at_its_list(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    path = "config/environments/sandbox.yaml"
    fleets.edit(root, path, "zones: [mlab-sandbox.measurement-lab.test]", "zones: [other.test]")
    loaded = loading.load(root).fleet
    with pytest.raises(ConfigError) as refused:
        rendering.resources(loaded, loaded.environments["sandbox"])
    (problem,) = refused.value.problems
    assert problem.code == "D01" and problem.span.file == path and problem.span.line > 1


def test_resources_name_zone_type_and_the_line_in_git(tmp_path: Path) -> None:
    loaded = loading.load(fleets.write_fleet(tmp_path)).fleet
    made = {str(r.id): r for r in rendering.resources(loaded, loaded.environments["sandbox"])}
    found = made["AAAA/mlab-sandbox.measurement-lab.test/ndt-mlab2v6-lga05"]
    assert found.spec == {"ttl": 300, "rrdatas": ["2001:db8:0:14::24"]}
    assert found.span.file == "config/sites/lga05.yaml" and "mlab2" in _line(tmp_path, found.span)
    fixed = made["CNAME/mlab-sandbox.measurement-lab.test/_acme-challenge"]
    assert fixed.span.file == "config/zones/project.yaml" and "_acme-challenge" in _line(tmp_path, fixed.span)


def _line(root: Path, span: Span) -> str:
    return (root / span.file).read_text().splitlines()[span.line - 1]


def test_every_check_is_explained() -> None:
    known = {code.code for code in codes.ALL}
    assert {f"D0{n}" for n in range(1, 9)} <= known
