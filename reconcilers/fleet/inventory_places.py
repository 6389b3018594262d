"""Files with an entry for each site: places on a map, speeds, switches, and lists of names.

Most of them know virtual sites only as long as such a site has one machine, which is how they came about: where a
network is asked for, it is that of `mlab1`, or of the first machine. `v2/sites/geo.json` repeats a site for each of its
machines and says of none which one it is; `geo-by-site.json` beside it has each site once, with the machines' names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconcilers.fleet import addresses, derive
from reconcilers.fleet.inventory import annotation, networks, number
from reconcilers.fleet.model import Fleet, Site

MAX_RATE_BPS = {
    "1g": (150_000_000, 300_000_000),
    "10g": (2_500_000_000, 7_500_000_000),
    "40g": (10_000_000_000, 30_000_000_000),
}
"""Bits per second that one NDT server may send, by uplink: at a site of four machines, and at one of a single machine.

A single server gets three times as much, but for 1g, where one fast client could fill the circuit.
"""


def site_annotations(sites: Iterable[Site], derived: derive.Derived) -> list[dict[str, Any]]:
    """`v1/{sites,retired}/annotations.json`: by site, without machine and type."""
    first = _first_machines(derived)
    return [
        {"Annotation": annotation(site), "Name": site.name, "Network": networks(site, first[site.name])}
        for site in sites
        if site.name in first
    ]


def geo_v1(fleet: Fleet, derived: derive.Derived) -> dict[str, Any]:
    """`v1/sites/geo.json`: a GeoJSON feature for each site, with its networks."""
    first = _first_machines(derived)
    features = []
    for site in derive.published_sites(fleet):
        network = networks(site, first[site.name])
        features.append(_feature(site, {"ipv4_prefix": network["IPv4"], "ipv6_prefix": network["IPv6"]}))
    return _collection(features)


def geo(fleet: Fleet, derived: derive.Derived) -> dict[str, Any]:
    """`v2/sites/geo.json`: a GeoJSON feature for each machine, that of its site."""
    features = {site.name: _feature(site, {}) for site in derive.published_sites(fleet)}
    return _collection([features[machine.site] for machine in derived.machines])


def geo_by_site(fleet: Fleet, derived: derive.Derived) -> dict[str, Any]:
    """`v2/sites/geo-by-site.json`: a GeoJSON feature for each site, with its type and machines."""
    machines = site_machines(derived)
    return _collection(
        [_feature(site, {"machines": machines[site.name], "type": site.type}) for site in derive.published_sites(fleet)]
    )


def locations(sites: Iterable[Site]) -> list[dict[str, Any]]:
    """`v1/sites/locations.json` of all sites, `v2/sites/locations-physical.json` of the physical ones."""
    return [
        {
            "city": site.location.city,
            "country": site.location.country,
            "latitude": number(site.location.latitude),
            "longitude": number(site.location.longitude),
            "metro": [site.name, site.location.metro],
            "roundrobin": site.roundrobin,
            "site": site.name,
            "uplink_speed": site.transit.uplink,
        }
        for site in sites
    ]


def switches(sites: Iterable[Site]) -> dict[str, dict[str, str]]:
    """`v1/sites/switches.json`: what the configuration of each managed switch is made of."""
    return {
        site.name: {
            "auto_negotiation": site.switch.auto_negotiation,
            "flow_control": site.switch.flow_control,
            "ipv4_prefix": str(site.network.ipv4),
            "rstp": site.switch.rstp,
            "switch_make": site.switch.make,
            "switch_model": site.switch.model,
            "uplink_port": derive.uplink_port(site),
            "uplink_speed": site.transit.uplink,
        }
        for site in sites
        if site.switch is not None and site.network is not None
    }


def max_rates(sites: Iterable[Site]) -> dict[str, int]:
    """`max-rates.json`: the pacing limit of a physical site's NDT servers."""
    made = {}
    for site in sites:
        if site.network is not None:
            full, single = MAX_RATE_BPS[site.transit.uplink]
            made[site.name] = full if site.network.ipv4.prefixlen == addresses.FULL_SITE else single
    return made


def donated(sites: Iterable[Site]) -> list[str]:
    """`donated.json`: the sites whose transit is given."""
    return [site.name for site in sites if site.donated]


def site_machines(derived: derive.Derived) -> dict[str, list[str]]:
    """`site-machines.json`: the machines of each site, by name."""
    made: dict[str, list[str]] = {}
    for machine in derived.machines:
        made.setdefault(machine.site, []).append(machine.name)
    return made


def _first_machines(derived: derive.Derived) -> Mapping[str, derive.Machine]:
    """`mlab1` of each site, or the first one there is: machines come by name."""
    first: dict[str, derive.Machine] = {}
    for machine in derived.machines:
        first.setdefault(machine.site, machine)
    return first


def _feature(site: Site, more: Mapping[str, Any]) -> dict[str, Any]:
    place = site.location
    return {
        "geometry": {"coordinates": [number(place.longitude), number(place.latitude)], "type": "Point"},
        "properties": {
            "asn": f"AS{site.transit.asn}",
            "city": place.city,
            "metro": place.metro,
            "name": site.name,
            "provider": site.transit.provider,
            "uplink": site.transit.uplink,
            **more,
        },
        "type": "Feature",
    }


def _collection(features: list[dict[str, Any]]) -> dict[str, Any]:
    return {"features": features, "type": "FeatureCollection"}
