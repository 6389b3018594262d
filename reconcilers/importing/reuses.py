"""Which retired sites' prefixes a site took over: an inventory does not say so, but its prefixes do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from reconcilers.importing.inventory import Described
from reconcilers.importing.mapping import at

Network = IPv4Network | IPv6Network


def find(sites: Sequence[Described]) -> Mapping[str, tuple[str, ...]]:
    """For each active site that has one: the retired sites whose prefixes overlap its own, by name."""
    retired = [(site.name, prefix) for site in sites if site.state == "retired" for prefix in _prefixes(site)]
    found: dict[str, set[str]] = {}
    for site in sites:
        if site.state == "active":
            for prefix in _prefixes(site):
                before = {name for name, other in retired if other.version == prefix.version and _meet(prefix, other)}
                if before:
                    found.setdefault(site.name, set()).update(before)
    return {name: tuple(sorted(names)) for name, names in found.items()}


def _prefixes(site: Described) -> Iterator[Network]:
    for family in ("ipv4", "ipv6"):
        text = at(site.document, f"network.{family}.prefix")
        if isinstance(text, str):
            try:
                yield ip_network(text, strict=False)
            except ValueError:  # the schema will say so
                continue


def _meet(one: Network, other: Network) -> bool:
    shorter, longer = sorted((one, other), key=lambda prefix: prefix.prefixlen)
    return int(longer.network_address) >> (longer.max_prefixlen - shorter.prefixlen) == int(
        shorter.network_address
    ) >> (shorter.max_prefixlen - shorter.prefixlen)
