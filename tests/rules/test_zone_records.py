"""Z01: zones that a server would refuse, and names that belong to the fleet's hosts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from reconcilers.core.model import Span
from reconcilers.fleet import rules
from reconcilers.fleet.model import Entity
from tests import fleet_values as values


def zone(name: str, *records: tuple[str, str], **data: Any) -> Entity:
    listed = [{"name": owner, "type": kind, "values": ["x."]} for owner, kind in records]
    base = {"kind": "Zone", "name": name, "ttl_s": 300, "domain": "{domain}", "hosts": "all", "records": listed}
    return Entity("Zone", name, {**base, **data}, Span(f"config/zones/{name}.yaml", 2, 1))


def found(*zones: Entity) -> list[str]:
    fleet = dataclasses.replace(values.fleet(), zones={entity.name: entity for entity in zones})
    problems = (*rules.check_each(fleet), *rules.check_across(fleet))
    return [problem.message for problem in problems if problem.code == "Z01"]


def test_what_a_server_loads_is_right() -> None:
    records = [("@", "A"), ("@", "TXT"), ("www", "A"), ("_acme-challenge", "CNAME"), ("mlab-oti", "NS"), ("mlab1", "A")]
    assert found(zone("primary", *records), zone("project", domain="{project}.{domain}")) == []


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([("www", "A"), ("www", "A")], "www of type A is listed twice"),
        ([("www", "A"), ("www", "CNAME")], "www is a CNAME, beside which there can be no A"),
        ([("@", "CNAME")], "the zone itself has no CNAME here"),
        ([("@", "NS")], "the zone itself has no NS here"),
        *(
            ([(name, "A")], f"{name} has the form of a host's name")
            for name in ("s1-lga05", "mlab1-lga05", "mlab1v6-lga05", "mlab4d-lga0t", "ndt-iupui-mlab1-xyz01")
        ),
    ],
)
def test_what_a_server_refuses_or_a_host_needs_is_a_problem(records: list[tuple[str, str]], said: str) -> None:
    [message] = found(zone("primary", *records))
    assert message.startswith(said)


def test_a_zone_without_hosts_may_name_anything() -> None:
    assert found(zone("other", ("mlab1-lga05", "A"), hosts="none")) == []


def test_two_zones_of_one_domain_and_unknown_projects_are_problems() -> None:
    first, second = found(zone("a"), zone("b", projects=["mlab-oti", "mlab-x"]))
    assert first.startswith("domain {domain} is already a's")
    assert second.startswith("no environment reconciles project mlab-x; known: mlab-oti, mlab-sandbox, mlab-staging")
