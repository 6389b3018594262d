"""The zones: which hosts they hold, known names and addresses, the file's form, and what BIND's checker says of it."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core.model import Span
from reconcilers.fleet import zone_file, zones
from reconcilers.fleet.model import Entity, Fleet
from tests import fleet_values as values
from tests.config.configuration import committed
from tests.golden import check

GOLDEN = Path(__file__).parent / "golden"
LINE = re.compile(r"(?P<name>\S+) +IN  (?P<type>A|AAAA) *\t(?P<value>\S+)")


def zone_entity(name: str, **data: Any) -> Entity:
    base = {"kind": "Zone", "name": name, "purpose": "for a test", "ttl_s": 300, "hosts": "none", **data}
    return Entity("Zone", name, base, Span(f"config/zones/{name}.yaml", 2))


PRIMARY = zone_entity("primary", domain="{domain}", projects=["mlab-oti"], ttl_s=3600, hosts="switches")
PROJECT = zone_entity(
    "project",
    domain="{project}.{domain}",
    hosts="all",
    records=[{"name": "_acme-challenge", "type": "CNAME", "values": ["{project}.acme.{project}.{domain}."]}],
)


def fleet(*sites: Any, entities: tuple[Entity, ...] = (PRIMARY, PROJECT)) -> Fleet:
    return dataclasses.replace(values.fleet(*sites), zones={entity.name: entity for entity in entities})


def zone(of: Fleet, domain: str = "mlab-oti.measurement-lab.org", env: str = "production", **data: Any) -> zones.Zone:
    return next(z for z in zones.zones(of, values.environment(env, data=data)) if z.domain == domain)


def records(made: zones.Zone) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(record.name, record.type): record.values for record in made.records}


def test_a_full_site_has_switch_controllers_machines_and_experiments_with_decorated_names() -> None:
    found = records(zone(fleet(values.lga05())))
    assert found["s1-lga05", "A"] == ("4.35.94.2",)
    assert found["mlab2d-lga05", "A"] == ("4.35.94.5",)
    six = "2001:1900:2100:14::"
    for name, octet in (("mlab2", 22), ("ndt-iupui-mlab2", 24), ("wehe-mlab2", 27)):
        assert found[f"{name}-lga05", "A"] == found[f"{name}v4-lga05", "A"] == (f"4.35.94.{octet}",)
        assert found[f"{name}-lga05", "AAAA"] == found[f"{name}v6-lga05", "AAAA"] == (f"{six}{octet}",)
        assert (f"{name}v4-lga05", "AAAA") not in found and (f"{name}v6-lga05", "A") not in found
    hosts = 4 * (1 + 14)
    assert Counter(kind for _, kind in found) == {"CNAME": 1, "A": 1 + 4 + 2 * hosts, "AAAA": 2 * hosts}


def test_a_virtual_machine_has_no_controller_and_no_switch() -> None:
    found = records(zone(fleet(values.chs0t())))
    assert {name for name, kind in found if kind == "A" and "mlab1" in name} == {
        f"{flat}mlab1{decoration}-chs0t" for flat in ("", "ndt-", "ndt-iupui-") for decoration in ("", "v4")
    }


def test_without_ipv6_there_is_no_aaaa() -> None:
    assert not [kind for _, kind in records(zone(fleet(values.del02()))) if kind == "AAAA"]


def test_a_zone_holds_every_site_unless_its_environment_asks_for_its_own() -> None:
    of = fleet(values.lga05(), values.geg01(), values.chs0t())
    complete = records(zone(of))
    assert {"mlab4-lga05", "mlab1-chs0t", "mlab4-geg01"} <= {name for name, _ in complete}
    domain = "mlab-sandbox.measurement-lab.org"
    assert records(zone(of, domain, "sandbox")) == {
        **complete,
        ("_acme-challenge", "CNAME"): ("mlab-sandbox.acme.mlab-sandbox.measurement-lab.org.",),
    }
    owned = records(zone(of, domain, "sandbox", zones="owned"))
    assert {name.rpartition("-")[2] for name, kind in owned if kind == "A"} == {"geg01", "chs0t"}
    assert {name for name, _ in owned if name.endswith("d-geg01")} == {"mlab4d-geg01"}
    assert ("s1-geg01", "A") in owned and ("s1-lga05", "A") not in owned


def test_the_primary_zone_has_every_switch_whatever_the_environment_owns() -> None:
    of = fleet(values.lga05(), values.nuq08(), values.geg01())
    made = zone(of, "measurement-lab.org", zones="owned")
    assert records(made) == {("s1-geg01", "A"): ("50.52.93.66",), ("s1-lga05", "A"): ("4.35.94.2",)}
    assert {record.ttl_s for record in made.records} == {3600}


def test_the_primary_zone_is_served_by_one_project_only() -> None:
    served = {
        name: [zone.domain for zone in zones.served(fleet(values.lga05()), values.environment(name))]
        for name in values.PROJECTS
    }
    assert served == {
        "sandbox": ["mlab-sandbox.measurement-lab.org"],
        "staging": ["mlab-staging.measurement-lab.org"],
        "production": ["measurement-lab.org", "mlab-oti.measurement-lab.org"],
    }


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", '"plain"'),
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        ("é", '"\\195\\169"'),
        ("x" * 256, f'"{"x" * 255}" "x"'),
    ],
)
def test_a_text_is_quoted_escaped_and_cut(text: str, written: str) -> None:
    entity = zone_entity("primary", domain="{domain}", records=[{"name": "@", "type": "TXT", "values": [text]}])
    [record] = zone(fleet(values.lga05(), entities=(entity,)), "measurement-lab.org").records
    assert record.values == (written,)


def test_a_record_names_the_line_that_it_is_there_for() -> None:
    of = committed()
    made = next(z for z in zones.zones(of, of.environments["production"]) if z.domain == "measurement-lab.test")
    assert made.records[0].span.file == "config/zones/primary.yaml" and made.records[0].span.line > 2
    assert next(r for r in made.records if r.name == "s1-ams03").span.file == "config/sites/ams03.yaml"
    assert (made.absolute("@"), made.absolute("www")) == ("measurement-lab.test.", "www.measurement-lab.test.")


def test_the_file_of_a_small_zone_is_as_reviewed() -> None:
    fixed = zone_entity(
        "primary",
        domain="{domain}",
        hosts="switches",
        records=[
            {"name": "@", "type": "A", "values": ["192.0.2.1", "192.0.2.2"]},
            {"name": "@", "type": "TXT", "values": ["verified"], "ttl_s": 60},
            {"name": "mlab-oti", "type": "NS", "values": ["ns1.dns.test.", "ns2.dns.test."]},
        ],
    )
    of = fleet(values.nuq08(), values.lga1t(), entities=(fixed, PROJECT))
    check(GOLDEN / "primary.zone", zone_file.text(zone(of, "measurement-lab.org")))
    check(GOLDEN / "project.zone", zone_file.text(zone(fleet(values.nuq08(), values.chs0t()))))


def test_our_fleet_has_the_public_platforms_number_of_records() -> None:
    of = committed()
    for environment in of.environments.values():
        primary, project = zones.zones(of, environment)
        lines = zone_file.text(project).splitlines()
        kinds = Counter(found["type"] for line in lines if (found := LINE.fullmatch(line)))
        # The public platform has two more of each: index 12 of the one /28, which is its broadcast address.
        assert kinds == {"A": 14825 - 2, "AAAA": 13884 - 2}
        for made in (primary, project):
            assert sum(line.startswith("s1-") for line in zone_file.text(made).splitlines()) == 116


@pytest.mark.parametrize("which", [zones.ALL, zones.OWNED])
def test_every_zone_of_our_fleet_is_accepted_by_named_checkzone(tmp_path: Path, which: str) -> None:
    of = committed()
    for environment in of.environments.values():
        mode = dataclasses.replace(environment, data={**environment.data, "zones": which})
        for made in zones.zones(of, mode):
            assert_loads(made, tmp_path)


def assert_loads(made: zones.Zone, folder: Path) -> None:
    """BIND reads exactly our records, after the SOA and NS that a server adds, and has nothing to remark."""
    soa = f"@ {made.ttl_s} IN SOA ns.dns.test. hostmaster.dns.test. 1 3600 600 604800 300\n"
    soa += f"@ {made.ttl_s} IN NS ns.dns.test.\n"
    head, origin, body = zone_file.text(made).partition(f"$TTL    {made.ttl_s}\n")
    file, dump = folder / f"{made.domain}.zone", folder / f"{made.domain}.dump"
    file.write_text(head + origin + soa + body)
    done = subprocess.run(
        ["named-checkzone", "-i", "local", "-k", "fail", "-r", "fail", "-D", "-o", str(dump), made.domain, str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "ignoring" not in done.stdout + done.stderr, done.stdout + done.stderr
    read = [line.split(None, 4) for line in dump.read_text().splitlines() if not line.startswith(";")]
    found = Counter((name, int(ttl), kind, value.lower()) for name, ttl, _, kind, value in read)
    for added in ((made.absolute("@"), kind) for kind in ("SOA", "NS")):
        del found[next(key for key in found if (key[0], key[2]) == added)]
    wanted = Counter(
        (made.absolute(record.name), record.ttl_s, record.type, value.lower())
        for record in made.records
        for value in record.values
    )
    assert found == wanted
