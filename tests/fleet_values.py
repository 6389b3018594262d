"""Fleets made by hand, for tests of what is pure: real-world prefixes as plain values, no YAML, no loader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from reconcilers.core.model import Span
from reconcilers.fleet.model import (
    Entity,
    Environment,
    Experiment,
    Fleet,
    Lifecycle,
    Location,
    MachineSpec,
    Network,
    Site,
    SiteState,
    Switch,
    Transit,
)

NEW_YORK = Location("lga", "New York", "NY", "US", "NA", 40.775, -73.875)
PROJECTS = {"sandbox": "mlab-sandbox", "staging": "mlab-staging", "production": "mlab-oti"}
# Name, aliases, index, cloud: the list of the public platform, in its order.
EXPERIMENTS: tuple[tuple[str, tuple[str, ...], int, bool], ...] = (
    ("msak", (), 1, False),
    ("ndt", ("ndt.iupui",), 2, True),
    ("revtr", (), 3, False),
    ("ark", (), 4, False),
    ("wehe", (), 5, False),
    ("pt", (), 6, False),
    ("flooefi", (), 7, False),
    ("demo8", (), 8, False),
    ("demo9", (), 9, False),
    ("neubot", ("neubot.mlab",), 10, False),
    ("demo11", (), 11, False),
    ("demo12", (), 12, False),
)


def environment(
    name: str = "sandbox", *, domain: str = "measurement-lab.org", data: Mapping[str, Any] | None = None
) -> Environment:
    path = f"config/environments/{name}.yaml"
    base = {
        "kind": "Environment",
        "name": name,
        "project": PROJECTS[name],
        "domain": domain,
        "images_version": "v1.2.3",
    }
    return Environment(
        name=name, project=PROJECTS[name], domain=domain, data={**base, **(data or {})}, span=Span(path, 2, 1)
    )


def experiments() -> dict[str, Experiment]:
    made = [
        Experiment(
            name=name,
            index=index,
            aliases=aliases,
            cloud=cloud,
            ipv6=True,
            projects=tuple(PROJECTS.values()),
            position=position,
            archived=(),
            autoloaded=(),
            data={"placements": [{"name": f"{name}-virtual", "type": "virtual", "hostNetwork": True}]} if cloud else {},
            span=Span(f"config/experiments/{name}.yaml", 2, 1),
        )
        for position, (name, aliases, index, cloud) in enumerate(EXPERIMENTS, start=1)
    ]
    return {experiment.name: experiment for experiment in sorted(made, key=lambda e: e.name)}


def physical(
    name: str,
    prefix: str,
    prefix6: str | None,
    *,
    asn: int = 3356,
    provider: str = "Level 3 Parent, LLC",
    uplink: str = "10g",
    machines: Iterable[str] = ("mlab1", "mlab2", "mlab3", "mlab4"),
    projects: Mapping[str, str] | None = None,
    switch: Switch | None = Switch(),  # noqa: B008 (frozen)
    state: SiteState = "active",
    boot_records: Any = "kept",
    location: Location = NEW_YORK,
    probability: float = 1.0,
    donated: bool = False,
    model: str = "r630",
) -> Site:
    path = f"config/sites/{name}.yaml"
    return Site(
        name=name,
        type="physical",
        provider="mlab",
        donated=donated,
        probability=probability,
        lifecycle=Lifecycle(
            state, date(2019, 1, 1), date(2026, 1, 1) if state == "retired" else None, boot_records=boot_records
        ),
        location=location,
        transit=Transit(provider, asn, uplink),
        network=Network(IPv4Network(prefix), IPv6Network(prefix6) if prefix6 else None),
        switch=switch,
        machines=tuple(
            MachineSpec(machine, model, Span(path, 20 + line, 3), "sda", "eth0", (projects or {}).get(machine))
            for line, machine in enumerate(machines)
        ),
        span=Span(path, 2, 1),
        spans={"lifecycle.state": Span(path, 8, 11)},
    )


def virtual(
    name: str,
    machines: Mapping[str, tuple[str, str | None]],
    *,
    state: SiteState = "active",
    probability: float = 1.0,
    location: Location = NEW_YORK,
) -> Site:
    path = f"config/sites/{name}.yaml"
    return Site(
        name=name,
        type="virtual",
        provider="gcp",
        donated=False,
        probability=probability,
        lifecycle=Lifecycle(state, date(2022, 1, 14), date(2026, 1, 1) if state == "retired" else None),
        location=location,
        transit=Transit("Google LLC", 396982, "1g", "PREMIUM"),
        network=None,
        switch=None,
        machines=tuple(
            MachineSpec(
                machine,
                "n2-highcpu-4",
                Span(path, 20 + line, 3),
                "pd-ssd",
                "ens4",
                ipv4=IPv4Address(ipv4),
                ipv6=IPv6Address(ipv6) if ipv6 else None,
            )
            for line, (machine, (ipv4, ipv6)) in enumerate(machines.items())
        ),
        span=Span(path, 2, 1),
    )


def lga05(**changes: Any) -> Site:
    return physical("lga05", "4.35.94.0/26", "2001:1900:2100:14::/64", **changes)


def nuq08(**changes: Any) -> Site:
    return physical(
        "nuq08",
        "192.158.252.176/28",
        "2001:4f8:ffff:3::/64",
        asn=1280,
        provider="Internet Systems Consortium, Inc.",
        machines=("mlab1",),
        switch=None,
        donated=True,
        location=Location("nuq", "San Francisco Bay Area", "CA", "US", "NA", 37.4161, -122.049),
        **changes,
    )


def chs0t(**changes: Any) -> Site:
    return virtual(
        "chs0t",
        {
            "mlab1": ("34.148.229.79", "2600:1900:4020:31cd:8000::"),
            "mlab2": ("34.23.227.171", "2600:1900:4020:31cd:0:5f::"),
        },
        location=Location("chs", "Charleston", "SC", "US", "NA", 32.8986, -80.0405),
        **changes,
    )


def del02(**changes: Any) -> Site:
    location = Location("del", "New Delhi", "", "IN", "AS", 28.5688, 77.1122)
    return physical("del02", "61.246.223.0/26", None, location=location, **changes)


def trn02(**changes: Any) -> Site:
    location = Location("trn", "Turin", "", "IT", "EU", 45.2025, 7.6494)
    return physical("trn02", "194.116.85.192/26", "2a07:1ec0:775::/48", location=location, **changes)


def geg01(**changes: Any) -> Site:
    return physical(
        "geg01",
        "50.52.93.64/26",
        "2001:5b0:4::/64",
        uplink="40g",
        switch=Switch(model="qfx5100-24q"),
        projects={"mlab4": "mlab-sandbox"},
        location=Location("geg", "Spokane", "WA", "US", "NA", 47.6199, -117.534),
        **changes,
    )


def lga1t(**changes: Any) -> Site:
    return physical(
        "lga1t",
        "4.14.3.0/26",
        "2001:1900:2200:44::/64",
        uplink="1g",
        switch=Switch(auto_negotiation="no"),
        **changes,
    )


ALL_SITES = (lga05, nuq08, chs0t, del02, trn02, geg01, lga1t)


def fleet(
    *sites: Site,
    buckets: Iterable[Entity] = (),
    embargo: Iterable[Entity] = (),
    environments: Iterable[Environment] = (),
    images: Iterable[Entity] = (),
) -> Fleet:
    """A fleet of these sites, or of all the fixtures."""
    chosen = sites or tuple(make() for make in ALL_SITES)
    return Fleet(
        environments={e.name: e for e in environments} or {name: environment(name) for name in sorted(PROJECTS)},
        sites={site.name: site for site in sorted(chosen, key=lambda s: s.name)},
        experiments=experiments(),
        datatypes={},
        embargo={rule.name: rule for rule in embargo},
        alerts={},
        routing=None,
        images={image.name: image for image in images},
        buckets={bucket.name: bucket for bucket in buckets},
        acks={},
    )
