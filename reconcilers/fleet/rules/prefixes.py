"""S02 and S04: prefixes of the fleet do not overlap, and are such that the Internet routes them.

Intervals of integers sorted once: 164 sites take some milliseconds, ten times as many ten times that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import addresses
from reconcilers.fleet.model import Fleet, Site, allows
from reconcilers.fleet.past import Times
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

OVERLAP_TITLE = Title("S02", "site.prefix-overlap")
GLOBAL_TITLE = Title("S04", "site.prefix-global")
HOLDING = ("planned", "active", "lame-duck")
"""States in which a site holds its addresses; a retired or unlisted one has given them back."""

_FREE_SHOWN = 3
_SPECIAL4 = (
    ("0.0.0.0/8", "'this network' (RFC 791)"),
    ("10.0.0.0/8", "private (RFC 1918)"),
    ("100.64.0.0/10", "shared by carriers (RFC 6598)"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private (RFC 1918)"),
    ("192.0.0.0/24", "kept for protocols (RFC 6890)"),
    ("192.88.99.0/24", "the former 6to4 relay (RFC 7526)"),
    ("192.168.0.0/16", "private (RFC 1918)"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved (RFC 1112)"),
)
_SPECIAL6 = (("2002::/16", "6to4 (RFC 7526)"), ("2001::/23", "kept for protocols (RFC 2928)"))
_BENCHMARK6 = ip_network("2001:2::/48")


def _ranges(table: Iterable[tuple[str, str]]) -> tuple[tuple[int, int, str, str], ...]:
    nets = ((ip_network(text), text, why) for text, why in table)
    return tuple((int(net.network_address), int(net.broadcast_address), text, why) for net, text, why in nets)


_RANGES = {4: _ranges(_SPECIAL4), 6: _ranges(_SPECIAL6)}
_UNICAST6 = (int(ip_network("2000::/3").network_address), int(ip_network("2000::/3").broadcast_address))
_BENCHMARK6_RANGE = (int(_BENCHMARK6.network_address), int(_BENCHMARK6.broadcast_address))


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """Addresses that a site holds, as numbers; `text` as written, `path` the field."""

    first: int
    last: int
    site: str
    text: str
    path: str


def held(site: Site, version: int) -> Iterator[Held]:
    """The prefix of a physical site, or the addresses of a virtual one's machines."""
    network = site.network
    if network is not None:
        prefix = network.ipv4 if version == 4 else network.ipv6
        if prefix is not None:
            first = int(prefix.network_address)
            last = first | (1 << (prefix.max_prefixlen - prefix.prefixlen)) - 1
            yield Held(first, last, site.name, str(prefix), f"network.ipv{version}.prefix")
    for machine in site.machines:
        address = machine.ipv4 if version == 4 else machine.ipv6
        if address is not None:
            number = int(address)
            yield Held(number, number, site.name, str(address), f"machines.{machine.name}.ipv{version}")


def host_bits(text: str, network: IPv4Network | IPv6Network) -> str:
    """What is wrong with a prefix whose host bits are not zero, or `""`."""
    if int(network.network_address) == int(ip_network(text.split("/")[0]).network_address):
        return ""
    return f"is {text}, which is not a network address: host bits are set; write {network}"


def special(first: int, last: int, version: int) -> str:
    """Why addresses are not global unicast, or `""`. Documentation and benchmarking ranges count as global."""
    if version == 6:
        if first < _UNICAST6[0] or last > _UNICAST6[1]:
            return "outside 2000::/3, which is all global unicast"
        if first >= _BENCHMARK6_RANGE[0] and last <= _BENCHMARK6_RANGE[1]:
            return ""
    for low, high, text, why in _RANGES[version]:
        if first <= high and last >= low:
            return f"in {text}, which is {why}"
    return ""


def _global(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site in fleet.sites.values():
        for version in (4, 6):
            for item in held(site, version):
                why = special(item.first, item.last, version)
                if why:
                    span = place(site.spans, item.path, site.span)
                    message = f"{item.text} is {why}; give {site.name} addresses that the Internet routes"
                    yield GLOBAL_TITLE.at(span, message)
        yield from _octet(site)


def _octet(site: Site) -> Iterator[Diagnostic]:
    if site.network is None:
        return
    prefix = site.network.ipv4
    numbers = tuple(addresses.machine_index(machine.name) for machine in site.machines)
    top = max((offset for _, offset in addresses.offsets(prefix.prefixlen, numbers, has_switch=False)), default=0)
    if allows(site, "S05") and addresses.slots(prefix.prefixlen):
        top = max([top, *(addresses.experiment_offset(prefix.prefixlen, n, addresses.MAX_INDEX) for n in numbers)])
    octet = (int(prefix.network_address) & 255) + top
    if octet > 255:
        span = place(site.spans, "network.ipv4.prefix", site.span)
        yield GLOBAL_TITLE.at(span, f"{prefix} reaches last octet {octet} with its machines, the limit is 255")


def _holding(fleet: Fleet) -> list[Site]:
    return [site for site in fleet.sites.values() if site.lifecycle.state in HOLDING]


def _overlaps(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    sites = _holding(fleet)
    for version in (4, 6):
        items = sorted(item for site in sites for item in held(site, version))
        taken: list[tuple[int, int]] | None = None
        for item, other in overlapping(items):
            if other.site != item.site:
                taken = taken or _merged(items)
                yield _overlap(fleet, item, other, version, taken)


def overlapping(items: Iterable[Held]) -> Iterator[tuple[Held, Held]]:
    """Pairs that share an address, of items in order: the later one first."""
    open_items: list[Held] = []
    for item in items:
        open_items = [other for other in open_items if other.last >= item.first]
        for other in open_items:
            yield item, other
        open_items.append(item)


def _overlap(fleet: Fleet, a: Held, b: Held, version: int, taken: list[tuple[int, int]]) -> Diagnostic:
    """Placed at the site that came later: it is the one to move."""

    def age(item: Held) -> tuple[object, str]:
        return fleet.sites[item.site].lifecycle.created, item.site

    older, newer = sorted((a, b), key=age)
    site, other = fleet.sites[newer.site], fleet.sites[older.site]
    where = place(other.spans, older.path, other.span)
    width = 32 if version == 4 else 128
    length = width - (newer.last - newer.first).bit_length()
    free = ", ".join(free_prefixes(taken, newer.first, length, version))
    message = f"{newer.text} overlaps {older.site} ({older.text}); give one of them another prefix"
    hint = f"free near it: {free}" if free else ""
    related = ((where, f"{older.site} has {older.text}"),)
    return OVERLAP_TITLE.at(place(site.spans, newer.path, site.span), message, related=related, hint=hint)


def _merged(items: Iterable[Held]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for item in items:
        if merged and item.first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], item.last))
        else:
            merged.append((item.first, item.last))
    return merged


def free_prefixes(taken: list[tuple[int, int]], near: int, length: int, version: int) -> Iterator[str]:
    """The first prefixes of a length that nobody holds, in the /16 (IPv6: /32, or /40 for longer) around an address."""
    width = 32 if version == 4 else 128
    pool = 16 if version == 4 else (32 if length <= 48 else 40)
    size = 1 << (width - length)
    start = near >> (width - pool) << (width - pool)
    end = start + (1 << (width - pool))
    shown = 0
    candidate = start
    blocks = iter([block for block in taken if block[1] >= start and block[0] < end])
    block = next(blocks, None)
    while candidate + size <= end and shown < _FREE_SHOWN:
        while block is not None and block[1] < candidate:
            block = next(blocks, None)
        if block is not None and block[0] < candidate + size:
            candidate = -(-(block[1] + 1) // size) * size
            continue
        if not special(candidate, candidate + size - 1, version):
            yield _text(candidate, length, version)
            shown += 1
        candidate += size


def _text(first: int, length: int, version: int) -> str:
    return f"{IPv4Network((first, length)) if version == 4 else IPv6Network((first, length))}"


def _free(fleet: Fleet, _times: Times) -> Iterator[str]:
    """Free prefixes of each length in use, near the fleet's first one of that length."""
    for version in (4, 6):
        items = sorted(item for site in _holding(fleet) for item in held(site, version))
        taken = _merged(items)
        width = 32 if version == 4 else 128
        first_of: dict[int, int] = {}
        for item in items:
            first_of.setdefault(width - (item.last - item.first).bit_length(), item.first)
        for length in sorted(first_of):
            if length < width:
                free = ", ".join(free_prefixes(taken, first_of[length], length, version))
                yield f"free IPv{version} /{length}: {free or 'none in the pools in use'}"


OVERLAP = Rule(
    OVERLAP_TITLE.code,
    OVERLAP_TITLE.name,
    "prefixes of sites that hold addresses are disjoint, also from addresses of virtual machines",
    "Two sites with one address send each other's users to the wrong place; it happened in 2020. Compared are the "
    "prefixes of physical sites and the addresses of virtual machines, IPv4 and IPv6, of planned, active and lame-duck "
    "sites. Retired and unlisted sites hold nothing. The problem is shown at the site that was created later.",
    across=_overlaps,
    remedy=_free,
)
GLOBAL = Rule(
    GLOBAL_TITLE.code,
    GLOBAL_TITLE.name,
    "prefixes are network addresses of global unicast space",
    "Host bits must be zero, the range must be routed in the Internet, and no derived last octet may pass 255, because "
    "IPv6 addresses repeat it. The documentation and benchmarking ranges (192.0.2.0/24, 198.51.100.0/24, "
    "203.0.113.0/24, 198.18.0.0/15, 2001:db8::/32, 2001:2::/48) count as global: a fleet for trying things uses them.",
    each=_global,
)
