"""S12: one network has one name, unless a merger gave it two and `config/networks/` says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.model import Entity, Fleet, Site
from reconcilers.fleet.rules.prefixes import HOLDING
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

TRANSIT_TITLE = Title("S12", "site.transit-name")


def _by_number(fleet: Fleet) -> Mapping[int, list[Site]]:
    found: dict[int, list[Site]] = {}
    for site in fleet.sites.values():
        if site.lifecycle.state in HOLDING:
            found.setdefault(site.transit.asn, []).append(site)
    return found


def _names(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    networks: dict[int, Entity] = {}
    for network in fleet.networks.values():
        asn = int(network.data["asn"])
        if network.name != f"as{asn}":
            span = place(network.spans, "asn", network.span)
            yield TRANSIT_TITLE.at(span, f"AS{asn} is described by {network.name}; call it as{asn}, or correct asn")
        if asn in networks:
            span, first = place(network.spans, "asn", network.span), networks[asn]
            message = f"AS{asn} is already described by {first.name}; keep one file for each network"
            where = place(first.spans, "asn", first.span)
            yield TRANSIT_TITLE.at(span, message, related=((where, "described here"),))
        networks.setdefault(asn, network)
    for asn, sites in _by_number(fleet).items():
        if asn in networks:
            yield from _accepted(networks[asn], sites)
        elif not absent.any("networks"):
            yield from _one_name(asn, sites)


def _accepted(network: Entity, sites: list[Site]) -> Iterator[Diagnostic]:
    names = network.data["names"]
    for site in sites:
        if site.transit.provider not in names:
            message = (
                f"provider {site.transit.provider!r} of AS{site.transit.asn} is none of {', '.join(names)}; write one "
                f"of them, or add it to {network.name}"
            )
            where = place(network.spans, "names", network.span)
            yield TRANSIT_TITLE.at(_place(site), message, related=((where, "the names of this network"),))


def _one_name(asn: int, sites: list[Site]) -> Iterator[Diagnostic]:
    """The name that most sites have is right; among equals, the oldest site's."""
    counts = Counter(site.transit.provider for site in sites)
    if len(counts) == 1:
        return
    right = min(sites, key=lambda site: (-counts[site.transit.provider], site.lifecycle.created, site.name))
    related = ((_place(right), f"{right.name} has {right.transit.provider!r}"),)
    for site in sites:
        if site.transit.provider != right.transit.provider:
            message = (
                f"AS{asn} is called {site.transit.provider!r} here and {right.transit.provider!r} at {right.name}; use "
                f"one name, or list both in config/networks/as{asn}.yaml"
            )
            yield TRANSIT_TITLE.at(_place(site), message, related=related)


def _place(site: Site) -> Span:
    return place(site.spans, "transit.provider", site.span)


TRANSIT = Rule(
    TRANSIT_TITLE.code,
    TRANSIT_TITLE.name,
    "an AS number has one provider's name",
    "Annotations of every measurement carry the number and the name, and studies group by either. A provider may have "
    "several numbers. After a merger a network can go by two names for years: config/networks/as286.yaml (kind "
    "Network) then lists those that are accepted. Retired and unlisted sites keep the name of their time.",
    across=_names,
)
