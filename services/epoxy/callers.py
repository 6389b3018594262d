"""Who calls: the address that a request really came from, and whether a host's record names it.

The peer of the connection counts. Only where that peer is a proxy that the operator trusts is `X-Forwarded-For` read,
from the right, up to the first hop that is not trusted: what stands further left was written by somebody else. The
original, told to allow forwarded requests, believed the first entry, which any client can write.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from services.epoxy import records

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_HOPS = 10


def caller(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """The address of the caller; None where a trusted proxy names something that is no address."""
    address = parse(peer)
    hops = [hop.strip() for value in forwarded for hop in value.split(",")] if trusted else []
    if len(hops) > MAX_HOPS:
        return None
    while hops and within(address, trusted):
        address = parse(hops.pop())
    return address


def allowed(address: Address, desired: records.Desired) -> bool:
    """Whether the record names this address, alone or within a prefix."""
    return str(address) == desired.ipv4_addr or within(address, tuple(_network(text) for text in desired.callers))


@lru_cache(maxsize=4096)
def parse(text: str) -> Address | None:
    """An address in its one form: an IPv4 address mapped into IPv6 is the IPv4 address, and there are no zones."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def networks(text: str) -> tuple[Network, ...]:
    """Prefixes out of a comma-separated list. Raises ValueError that names the one that is none."""
    return tuple(_network(part.strip()) for part in text.split(",") if part.strip())


@lru_cache(maxsize=4096)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text)


def within(address: Address | None, prefixes: Sequence[Network]) -> bool:
    """Whether it is an address of one of them."""
    return address is not None and any(address.version == prefix.version and address in prefix for prefix in prefixes)
