"""`sites.json`: every effective field of every published or retired site, with its machines as `nodes`.

Templates of boot images and of monitoring read each `nodes[].v4`, `v6` and `drac` field. One quirk of the original is
kept for them: a node's experiments are the first 12, 11 or 3 *lines* of the list (by prefix length), so `demo11` and
`demo12` are missing, whereas `hostnames.json` has every experiment that has an address. `sites-by-index.json` beside
it has those, too: an experiment is in it exactly if its index has a place at the site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from reconcilers.fleet import addresses, derive, names
from reconcilers.fleet.inventory import number, probability
from reconcilers.fleet.memo import OfFleet
from reconcilers.fleet.model import Fleet, MachineSpec, Network, Site, Switch

Version = Literal["v1", "v2"]
Sites = list[dict[str, Any]]
_VIRTUAL_LINES = 12


def sites(fleet: Fleet, domain: str, version: Version = "v2", *, by_index: bool = False) -> Sites:
    """The whole file, sites by name; asking again about the same fleet costs nothing, so nobody may change it."""
    return _SITES(fleet, (domain, version, by_index))


def retired(fleet: Fleet, domain: str) -> Sites:
    """`v2/retired/sites.json`: the same of retired sites, with the addresses that they had."""
    chosen = {site.name: site for site in derive.retired_sites(fleet)}
    return _listed(fleet, chosen, derive.retired(fleet, domain), domain, "v2", by_index=False)


def _published(fleet: Fleet, key: tuple[str, Version, bool]) -> Sites:
    domain, version, by_index = key
    chosen = {site.name: site for site in derive.published_sites(fleet)}
    return _listed(fleet, chosen, derive.under(fleet, domain), domain, version, by_index=by_index)


_SITES = OfFleet(_published)


def _listed(
    fleet: Fleet, chosen: Mapping[str, Site], derived: derive.Derived, domain: str, version: Version, *, by_index: bool
) -> Sites:
    listed = derive.entries(fleet.experiments.values())
    hosts: dict[str, dict[str, derive.ExperimentHost]] = {}
    for host in derived.experiments:
        hosts.setdefault(host.machine.hostname, {})[host.experiment] = host
    nodes: dict[str, list[dict[str, Any]]] = {}
    for machine in derived.machines:
        site = chosen[machine.site]
        of_machine = hosts.get(machine.hostname, {})
        lines = listed if by_index else listed[: _cut(site)]
        v1 = domain if version == "v1" else ""
        nodes.setdefault(site.name, []).append(_node(site, machine, lines, of_machine, v1))
    return [_site(site, nodes.get(site.name, [])) for site in chosen.values()]


def _cut(site: Site) -> int:
    return _VIRTUAL_LINES if site.network is None else addresses.slots(site.network.ipv4.prefixlen)


def _site(site: Site, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    place, lifecycle = site.location, site.lifecycle
    made: dict[str, Any] = {
        "annotations": {
            "donated": site.donated,
            "probability": number(probability(site)),
            "provider": site.provider,
            "type": site.type,
        },
        "lifecycle": {
            "created": lifecycle.created.isoformat(),
            "retired": None if lifecycle.retired is None else lifecycle.retired.isoformat(),
        },
        "loadbalancer": {"roundrobin": site.roundrobin},
        "location": {
            "city": place.city,
            "continent_code": place.continent,
            "country_code": place.country,
            "latitude": number(place.latitude),
            "longitude": number(place.longitude),
            "metro": place.metro,
            "state": place.state,
        },
        "machines": {spec.name: _machine(site, spec) for spec in site.machines},
        "name": site.name,
        "nodes": nodes,
        "transit": {
            "asn": f"AS{site.transit.asn}",
            "provider": site.transit.provider,
            "uplink": site.transit.uplink,
        },
    }
    if site.network is None:
        made["transit"]["tier"] = site.transit.tier or "PREMIUM"
    else:
        made["network"] = _network(site.network)
        made["switch"] = None if site.switch is None else _switch(site.switch, derive.uplink_port(site))
    return made


def _machine(site: Site, spec: MachineSpec) -> dict[str, Any]:
    """One machine as it is described; what its file leaves open (rule S16) is absent, as in the original."""
    hardware = {"disk": spec.disk, "iface": spec.iface, "model": spec.model}
    made: dict[str, Any] = {key: value for key, value in hardware.items() if value}
    made["project"] = spec.project or addresses.default_project(site.name, spec.name)
    if site.network is None:
        made["network"] = {
            "ipv4": {"address": f"{spec.ipv4}/32"},
            "ipv6": {"address": None if spec.ipv6 is None else f"{spec.ipv6}/128"},
        }
    return made


def _network(network: Network) -> dict[str, Any]:
    ipv6: dict[str, Any] = {
        "dns1": network.ipv6_dns[0],
        "dns2": network.ipv6_dns[1],
        "prefix": None if network.ipv6 is None else str(network.ipv6),
    }
    if network.ipv6_gateway is not None:
        ipv6["gateway"] = network.ipv6_gateway
    return {
        "ipv4": {"dns1": network.ipv4_dns[0], "dns2": network.ipv4_dns[1], "prefix": str(network.ipv4)},
        "ipv6": ipv6,
    }


def _switch(switch: Switch, uplink_port: str) -> dict[str, str]:
    return {
        "auto_negotiation": switch.auto_negotiation,
        "flow_control": switch.flow_control,
        "make": switch.make,
        "model": switch.model,
        "rstp": switch.rstp,
        "uplink_port": uplink_port,
    }


def _node(
    site: Site,
    machine: derive.Machine,
    lines: Sequence[derive.Entry],
    hosts: Mapping[str, derive.ExperimentHost],
    v1_domain: str,
) -> dict[str, Any]:
    """One machine with its experiments; under its retired dotted name where a domain for that is given."""
    name, where = machine.name, machine.site
    made: dict[str, Any] = {
        "hostname": names.machine_v1(name, where, v1_domain) if v1_domain else machine.hostname,
        "index": machine.index,
        "project": machine.project,
        "v4": {"ip": machine.ipv4},
        "v6": {"ip": machine.ipv6},
    }
    if site.network is not None:
        made["drac"] = {"v4": {"ip": machine.bmc}}
        made["v4"] = {**made["v4"], **_family4(site.network)}
        made["v6"] = {**made["v6"], **_family6(site.network)}
    made["experiments"] = [
        {
            "cloud_enabled": entry.cloud,
            "hostname": names.experiment_v1(entry.name, name, where, v1_domain) if v1_domain else host.hostname,
            "index": entry.index,
            "ipv6_enabled": entry.ipv6,
            "name": entry.name,
            "v4": {"ip": host.ipv4},
            "v6": {"ip": host.ipv6},
        }
        for entry in lines
        if (host := hosts.get(entry.name)) is not None
    ]
    return made


def _family4(network: Network) -> dict[str, Any]:
    prefix = network.ipv4
    return {
        "broadcast": addresses.broadcast(prefix),
        "dns1": network.ipv4_dns[0],
        "dns2": network.ipv4_dns[1],
        "gateway": addresses.gateway(prefix),
        "netmask": addresses.netmask(prefix.prefixlen),
        "network": str(prefix),
        "subnet": prefix.prefixlen,
    }


def _family6(network: Network) -> dict[str, Any]:
    prefix = network.ipv6
    if prefix is None:
        return {}
    return {
        "dns1": network.ipv6_dns[0],
        "dns2": network.ipv6_dns[1],
        "gateway": addresses.gateway6(prefix, network.ipv6_gateway),
        "network": str(prefix),
        "subnet": prefix.prefixlen,
    }
