"""Every published name and address, computed a second time from the YAML by other means, for our whole fleet.

Nothing of `reconcilers.fleet` is used for the expectation: offsets are written out as a table, IPv4 goes by
`ipaddress`, IPv6 by text, names by formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

import pytest

from reconcilers.fleet import published
from tests.config.configuration import ROOT, committed, value

DOMAIN = "measurement-lab.test"
FIRST = {26: (9, 22, 35, 48), 28: (3,), 29: (3,)}
CONTROLLER = {26: (4, 5, 6, 7), 28: (2,), 29: (2,)}
LAST_INDEX = {26: 12, 28: 11, 29: 3}

Triple = tuple[str, str, str]


@lru_cache
def sites() -> list[Any]:
    return [value(path) for path in sorted((ROOT / "config" / "sites").glob("*.yaml"))]


@lru_cache
def experiments() -> list[tuple[str, int, bool]]:
    found = [value(path) for path in (ROOT / "config" / "experiments").glob("*.yaml")]
    indexed = sorted((e for e in found if e.get("index")), key=lambda e: e["position"])
    return [(name, e["index"], e.get("cloud", False)) for e in indexed for name in (e["name"], *e.get("aliases", []))]


def address(site: Any, offset: int) -> tuple[str, str]:
    prefix = ip_network(site["network"]["ipv4"]["prefix"])
    v4 = str(prefix[offset])
    prefix6 = (site["network"].get("ipv6") or {}).get("prefix")
    return v4, prefix6.split("/")[0] + v4.split(".")[3] if prefix6 else ""


def machines() -> Iterator[tuple[Any, str, str, int, str, str]]:
    """Site, machine, project, prefix length (0: virtual), addresses."""
    for site in sites():
        for name, machine in sorted(site["machines"].items()):
            default = "mlab-staging" if name == "mlab4" else "mlab-oti"
            project = machine.get("project") or ("mlab-sandbox" if site["name"][4] == "t" else default)
            if site["type"] == "virtual":
                yield site, name, project, 0, machine["ipv4"], machine.get("ipv6") or ""
            else:
                length = int(site["network"]["ipv4"]["prefix"].split("/")[1])
                yield site, name, project, length, *address(site, FIRST[length][int(name[4]) - 1])


def hosts(form: str) -> Iterator[Triple]:
    """Machines, then experiments; `form` is what stands for a machine: `{experiment}`, machine, site, project."""
    for site, name, project, _, v4, v6 in machines():
        yield form.format(experiment="", machine=name, site=site["name"], project=project), v4, v6
    for site, name, project, length, v4, v6 in machines():
        for experiment, index, cloud in experiments():
            if length and index <= LAST_INDEX[length]:
                v4, v6 = address(site, FIRST[length][int(name[4]) - 1] + index)
            elif length or not cloud:
                continue
            parts = {"machine": name, "site": site["name"], "project": project}
            v1 = "{machine}.{site}" in form
            yield (
                form.format(experiment=f"{experiment}." if v1 else f"{experiment.replace('.', '-')}-", **parts),
                v4,
                v6,
            )


@lru_cache
def files(env: str) -> dict[str, bytes]:
    sets = published.sets(committed(), committed().environments[env])
    return {file.path: file.data for file_set in sets for file in file_set.files}


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("v2/sites/hostnames.json", "{experiment}{machine}-{site}.{project}." + DOMAIN),
        ("v1/sites/hostnames.json", "{experiment}{machine}.{site}." + DOMAIN),
    ],
)
def test_every_host_name_has_the_recomputed_addresses_in_the_same_order(path: str, form: str) -> None:
    listed = [(host["hostname"], host["ipv4"], host["ipv6"]) for host in json.loads(files("production")[path])]
    assert listed == list(hosts(form))
    assert len(listed) == len({name for name, _, _ in listed}) == 7122 - 1


@pytest.mark.parametrize(
    ("env", "project"), [("sandbox", "mlab-sandbox"), ("staging", "mlab-staging"), ("production", "mlab-oti")]
)
def test_a_projects_zone_has_every_recomputed_name_in_three_forms(env: str, project: str) -> None:
    wanted: list[tuple[str, str, str]] = []
    for site in sites():
        if site.get("switch"):
            wanted.append((f"s1-{site['name']}", "A", str(ip_network(site["network"]["ipv4"]["prefix"])[2])))
    for site, name, _, length, _, _ in machines():
        if length:
            prefix = ip_network(site["network"]["ipv4"]["prefix"])
            wanted.append((f"{name}d-{site['name']}", "A", str(prefix[CONTROLLER[length][int(name[4]) - 1]])))
    for label, v4, v6 in hosts("{experiment}{machine}-{site}"):
        head, _, tail = label.rpartition("-")
        wanted += [(label, "A", v4), (f"{head}v4-{tail}", "A", v4)]
        wanted += [(label, "AAAA", v6), (f"{head}v6-{tail}", "AAAA", v6)] if v6 else []
    text = files(env)[f"v2/zones/{project}.{DOMAIN}.zone"].decode()
    lines = [line.split() for line in text.splitlines() if " IN  A" in line]
    found = [(name, kind, address) for name, _, kind, address in lines]
    assert sorted(found) == sorted(wanted)
    kinds = [kind for _, kind, _ in found]
    assert kinds == sorted(kinds), "all A before all AAAA"
