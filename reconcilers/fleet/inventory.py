"""The inventory of machines that clients of the public platform read: `v2/sites/` except `sites.json`.

The annotator and the heartbeat look their own FQDN up, an importer of boot records reads `machines.json`, monitoring
and DNS tools read `hostnames.json`: shapes and key names are those of siteinfo, and so is their order.
"""

from __future__ import annotations

from typing import Any

from reconcilers.fleet import derive
from reconcilers.fleet.model import Fleet, Site


def number(value: float) -> float | int:
    """A whole number without a fraction, as every jsonnet evaluator prints it."""
    return int(value) if float(value).is_integer() else value


def probability(site: Site) -> float:
    """The chance that Locate considers the site; 0 for a lame duck.

    A lame-duck site stays published, addressed and monitored, so that tests in progress end well and nothing alerts,
    but no new client is sent there.
    """
    return 0.0 if site.lifecycle.state == "lame-duck" else site.probability


def hostnames(derived: derive.Derived) -> list[dict[str, str]]:
    """`hostnames.json`: all machines, then all experiments of each machine."""
    hosts: list[dict[str, str]] = [{"hostname": m.hostname, "ipv4": m.ipv4, "ipv6": m.ipv6} for m in derived.machines]
    hosts.extend({"hostname": e.hostname, "ipv4": e.ipv4, "ipv6": e.ipv6} for e in derived.experiments)
    return hosts


def machines(derived: derive.Derived) -> list[dict[str, str]]:
    """`machines.json`: all machines with their project and type."""
    return [
        {"hostname": m.hostname, "ipv4": m.ipv4, "ipv6": m.ipv6, "project": m.project, "type": m.type}
        for m in derived.machines
    ]


def projects(derived: derive.Derived) -> dict[str, str]:
    """`projects.json`: short machine name to project."""
    return {f"{m.name}-{m.site}": m.project for m in derived.machines}


def registration(fleet: Fleet, derived: derive.Derived) -> dict[str, dict[str, Any]]:
    """`registration.json`: what a machine's heartbeat tells Locate, by FQDN. See `probability` for lame ducks."""
    made = {}
    for machine in derived.machines:
        site = fleet.sites[machine.site]
        place = site.location
        made[machine.hostname] = {
            "City": place.city,
            "ContinentCode": place.continent,
            "CountryCode": place.country,
            "Latitude": number(place.latitude),
            "Longitude": number(place.longitude),
            "Machine": machine.name,
            "Metro": place.metro,
            "Probability": number(probability(site)),
            "Project": machine.project,
            "Site": site.name,
            "Type": site.type,
            "Uplink": site.transit.uplink,
        }
    return made


def server_annotations(fleet: Fleet, derived: derive.Derived) -> dict[str, dict[str, Any]]:
    """`annotations.json`: the server's side of a measurement's annotation, by FQDN.

    `Network` is the site's prefix, or the one address of a virtual machine; `""` without IPv6, never null.
    """
    made = {}
    for machine in derived.machines:
        site = fleet.sites[machine.site]
        place = site.location
        made[machine.hostname] = {
            "Annotation": {
                "Geo": {
                    "City": place.city,
                    "ContinentCode": place.continent,
                    "CountryCode": place.country,
                    "Latitude": number(place.latitude),
                    "Longitude": number(place.longitude),
                    "State": place.state,
                },
                "Machine": machine.name,
                "Network": {
                    "ASName": site.transit.provider,
                    "ASNumber": site.transit.asn,
                    "Systems": [{"ASNs": [site.transit.asn]}],
                },
                "Site": site.name,
            },
            "Network": {"IPv4": _cidr4(site, machine), "IPv6": _cidr6(site, machine)},
            "Type": site.type,
        }
    return made


def _cidr4(site: Site, machine: derive.Machine) -> str:
    return f"{machine.ipv4}/32" if site.network is None else str(site.network.ipv4)


def _cidr6(site: Site, machine: derive.Machine) -> str:
    if site.network is None:
        return f"{machine.ipv6}/128" if machine.ipv6 else ""
    return "" if site.network.ipv6 is None else str(site.network.ipv6)
