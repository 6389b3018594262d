"""`v2/sites/sites.json`: every effective field of every published site, with its machines as `nodes`.

Templates of boot images and of monitoring read each `nodes[].v4`, `v6` and `drac` field. One quirk of the original is
kept for them: a node's experiments are the first 12, 11 or 3 *lines* of the list (by prefix length), so `demo11` and
`demo12` are missing here, whereas `hostnames.json` has every experiment that has an address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconcilers.fleet import addresses, derive
from reconcilers.fleet.inventory import number, probability
from reconcilers.fleet.model import Fleet, MachineSpec, Network, Site, Switch

_DISK = {"physical": "sda", "virtual": "pd-ssd"}
_IFACE = {"physical": "eth0", "virtual": "ens4"}
_VIRTUAL_LINES = 12


def sites(fleet: Fleet, derived: derive.Derived) -> list[dict[str, Any]]:
    """The whole file, sites by name."""
    listed = derive.entries(fleet.experiments.values())
    hosts: dict[str, dict[str, derive.ExperimentHost]] = {}
    for host in derived.experiments:
        hosts.setdefault(host.machine.hostname, {})[host.experiment] = host
    nodes: dict[str, list[dict[str, Any]]] = {}
    for machine in derived.machines:
        site = fleet.sites[machine.site]
        of_machine = hosts.get(machine.hostname, {})
        nodes.setdefault(site.name, []).append(_node(site, machine, listed, of_machine))
    return [_site(site, nodes.get(site.name, [])) for site in derive.published_sites(fleet)]


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
    made: dict[str, Any] = {
        "disk": spec.disk or _DISK[site.type],
        "iface": spec.iface or _IFACE[site.type],
        "model": spec.model,
        "project": spec.project or addresses.default_project(site.name, spec.name),
    }
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
    listed: Sequence[derive.Entry],
    hosts: Mapping[str, derive.ExperimentHost],
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "experiments": [],
        "hostname": machine.hostname,
        "index": machine.index,
        "project": machine.project,
        "v4": {"ip": machine.ipv4},
        "v6": {"ip": machine.ipv6},
    }
    cut = _VIRTUAL_LINES
    if site.network is not None:
        cut = addresses.slots(site.network.ipv4.prefixlen)
        made["drac"] = {"v4": {"ip": machine.bmc}}
        made["v4"] = {**made["v4"], **_family4(site.network)}
        made["v6"] = {**made["v6"], **_family6(site.network)}
    for entry in listed[:cut]:
        host = hosts.get(entry.name)
        if host is not None:
            made["experiments"].append(
                {
                    "cloud_enabled": entry.cloud,
                    "hostname": host.hostname,
                    "index": entry.index,
                    "ipv6_enabled": entry.ipv6,
                    "name": entry.name,
                    "v4": {"ip": host.ipv4},
                    "v6": {"ip": host.ipv6},
                }
            )
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
