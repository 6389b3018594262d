"""The inventory of machines that clients of the public platform read: files with an entry for each machine or host.

The annotator and the heartbeat look their own FQDN up, an importer of boot records reads `machines.json`, monitoring
and DNS tools read `hostnames.json`: shapes and key names are those of siteinfo, and so is their order.
"""

from __future__ import annotations

from typing import Any

from reconcilers.fleet import derive, names
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
    """`v2/sites/hostnames.json`: all machines, then all experiments of each machine."""
    hosts: list[dict[str, str]] = [{"hostname": m.hostname, "ipv4": m.ipv4, "ipv6": m.ipv6} for m in derived.machines]
    hosts.extend({"hostname": e.hostname, "ipv4": e.ipv4, "ipv6": e.ipv6} for e in derived.experiments)
    return hosts


def hostnames_v1(derived: derive.Derived, domain: str) -> list[dict[str, str]]:
    """`v1/sites/hostnames.json`: the same hosts under their dotted names, which have no project."""
    hosts: list[dict[str, str]] = [
        {"hostname": names.machine_v1(m.name, m.site, domain), "ipv4": m.ipv4, "ipv6": m.ipv6} for m in derived.machines
    ]
    hosts.extend(
        {
            "hostname": names.experiment_v1(e.experiment, e.machine.name, e.machine.site, domain),
            "ipv4": e.ipv4,
            "ipv6": e.ipv6,
        }
        for e in derived.experiments
    )
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
    """`v2/sites/annotations.json`: the server's side of a measurement's annotation, by FQDN."""
    made = {}
    for machine in derived.machines:
        site = fleet.sites[machine.site]
        made[machine.hostname] = {
            "Annotation": {**annotation(site), "Machine": machine.name},
            "Network": networks(site, machine),
            "Type": site.type,
        }
    return made


def annotation(site: Site) -> dict[str, Any]:
    """What is the same for all machines of a site, with the annotator's own key names."""
    place, transit = site.location, site.transit
    return {
        "Geo": {
            "City": place.city,
            "ContinentCode": place.continent,
            "CountryCode": place.country,
            "Latitude": number(place.latitude),
            "Longitude": number(place.longitude),
            "State": place.state,
        },
        "Network": {
            "ASName": transit.provider,
            "ASNumber": transit.asn,
            "Systems": [{"ASNs": [transit.asn]}],
        },
        "Site": site.name,
    }


def networks(site: Site, machine: derive.Machine) -> dict[str, str]:
    """The site's prefixes, or the addresses of a virtual machine; `""` without IPv6, never null."""
    if site.network is None:
        return {"IPv4": f"{machine.ipv4}/32", "IPv6": f"{machine.ipv6}/128" if machine.ipv6 else ""}
    ipv6 = site.network.ipv6
    return {"IPv4": str(site.network.ipv4), "IPv6": "" if ipv6 is None else str(ipv6)}
