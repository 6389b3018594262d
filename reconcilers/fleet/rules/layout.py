"""S05, S06 and S07: what is derived out of a prefix fits into it, and the node derives the same.

Offsets depend on few inputs (prefix length, machines, switch), the plug-in's arithmetic on the last octets alone, so
each distinct case is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import addresses
from reconcilers.fleet.model import PUBLISHED_STATES, Experiment, Fleet, Site, allows
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

DISTINCT_TITLE = Title("S05", "site.address-layout")
SLOTS_TITLE = Title("S06", "site.experiment-slots")
AGREE_TITLE = Title("S07", "site.ipv6-layout")
_SITE_LABEL = "mlab/site"


def _numbers(site: Site) -> tuple[int, ...]:
    return tuple(addresses.machine_index(machine.name) for machine in site.machines)


@lru_cache(maxsize=256)
def _faults(length: int, machines: tuple[int, ...], has_switch: bool) -> tuple[str, ...]:
    size = 1 << (32 - length)
    faults: list[str] = []
    if not addresses.slots(length):
        return (f"a /{length} has no layout; sites have a /26, /28 or /29",)
    if length != addresses.FULL_SITE and machines != (1,):
        return (f"a /{length} has room for mlab1 alone; use a /26 or remove the other machines",)
    holder: dict[int, str] = {}
    for what, offset in addresses.offsets(length, machines, has_switch=has_switch):
        if offset in holder:
            faults.append(f"{what} and {holder[offset]} would both have offset {offset}")
        if offset >= size - 1:
            word = "is the broadcast address" if offset == size - 1 else "is outside the prefix"
            faults.append(f"{what} at offset {offset} {word} (last usable offset: {size - 2})")
        holder.setdefault(offset, what)
    return tuple(faults)


def _distinct(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site in fleet.sites.values():
        if site.network is not None:
            prefix = site.network.ipv4
            for fault in _faults(prefix.prefixlen, _numbers(site), site.switch is not None):
                span = place(site.spans, "network.ipv4.prefix", site.span)
                yield DISTINCT_TITLE.at(span, f"{prefix} of {site.name}: {fault}; choose a prefix that fits")
        yield from _same_machine_addresses(site)


def _same_machine_addresses(site: Site) -> Iterator[Diagnostic]:
    first: dict[IPv4Address | IPv6Address, str] = {}
    for machine in site.machines:
        for family, address in (("ipv4", machine.ipv4), ("ipv6", machine.ipv6)):
            if address is None:
                continue
            if address in first:
                other = place(site.spans, f"machines.{first[address]}.{family}", site.span)
                span = place(site.spans, f"machines.{machine.name}.{family}", machine.span)
                message = f"{machine.name} has {address}, which is {first[address]}'s; give it its own address"
                yield DISTINCT_TITLE.at(span, message, related=((other, f"{first[address]} has it"),))
            first.setdefault(address, machine.name)


def _selects(experiment: Experiment, site: str) -> bool:
    placements = experiment.data.get("placements") or ()
    return any((placement.get("selector") or {}).get(_SITE_LABEL) == site for placement in placements)


def _without_slot(fleet: Fleet) -> Iterator[tuple[Site, int, list[Experiment]]]:
    """Sites in use whose prefix has fewer slots than there are indexes: the slots, and the experiments beyond them."""
    indexed = sorted((e for e in fleet.experiments.values() if e.index), key=lambda e: (e.index or 0, e.name))
    highest = indexed[-1].index or 0 if indexed else 0
    for site in fleet.sites.values():
        if site.network is None or site.lifecycle.state not in (*PUBLISHED_STATES, "planned"):
            continue
        slots = addresses.slots(site.network.ipv4.prefixlen)
        if slots and highest > slots:
            yield site, slots, [experiment for experiment in indexed if (experiment.index or 0) > slots]


def _beyond(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site, slots, experiments in _without_slot(fleet):
        if site.network is None or allows(site, SLOTS_TITLE.code):
            continue
        prefix = site.network.ipv4
        lowest = experiments[0]
        first = addresses.experiment4(prefix, 1, lowest.index or 0)
        what = "its broadcast address" if first == addresses.broadcast(prefix) else "outside of it"
        message = (
            f"{prefix} of {site.name} has {slots} slots, so index {lowest.index} ({lowest.name}) would be "
            f"{first}, {what}; allow S06 to leave out {_named(experiments)} there, or S05 to "
            "publish all the same"
        )
        yield DISTINCT_TITLE.at(place(site.spans, "network.ipv4.prefix", site.span), message)


def _named(experiments: list[Experiment]) -> str:
    return ", ".join(f"{experiment.name}" for experiment in experiments)


def _slots(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site, slots, experiments in _without_slot(fleet):
        span = place(site.spans, "network.ipv4.prefix", site.span)
        prefix = site.network.ipv4 if site.network else ""
        for experiment in experiments:
            if _selects(experiment, site.name):
                where = place(experiment.spans, "index", experiment.span)
                message = (
                    f"{experiment.name} has index {experiment.index} and selects {site.name}, whose {prefix} has "
                    f"{slots} slots; give it an index up to {slots}"
                )
                yield SLOTS_TITLE.at(where, message, related=((span, f"{slots} slots"),))
        if allows(site, SLOTS_TITLE.code):
            message = (
                f"{prefix} of {site.name} has {slots} slots: not deployed or published there: {_named(experiments)}"
            )
            yield SLOTS_TITLE.at(span, message)


@lru_cache(maxsize=4096)
def _disagreements(octet: int, length: int, machine: int) -> tuple[str, ...]:
    """What the plug-in on the node would answer otherwise than we, for a prefix whose low IPv6 bits are zero."""
    faults: list[str] = []
    base = addresses.number4("198.18.0.0") + octet
    own = base + addresses.machine_offset(length, machine)
    for index in range(1, addresses.slots(length) + 1):
        number = base + addresses.experiment_offset(length, machine, index)
        ours = addresses.text4(number), IPv6Address(addresses.join6("2001:db8::", number))
        try:
            ipv4, ipv6 = addresses.index2ip(addresses.text4(own), addresses.join6("2001:db8::", own), index)
        except ValueError as error:
            faults.append(f"index {index} on mlab{machine}: {error}")
            continue
        if (ipv4, IPv6Address(ipv6)) != ours:
            faults.append(f"index {index} on mlab{machine}: the node would take {ipv4} and {ipv6}")
    return tuple(faults)


def _agree(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site in fleet.sites.values():
        network = site.network
        if network is None or network.ipv6 is None or not addresses.slots(network.ipv4.prefixlen):
            continue
        prefix = network.ipv6
        span = place(site.spans, "network.ipv6.prefix", site.span)
        if prefix.prefixlen > 112:
            yield AGREE_TITLE.at(span, f"{prefix} is longer than /112, so that ::255 is outside; use a /48 or /64")
            continue
        octet = int(network.ipv4.network_address) & 255
        for machine in _numbers(site):
            for fault in _disagreements(octet, network.ipv4.prefixlen, machine):
                yield AGREE_TITLE.at(span, f"{site.name}, {fault}; choose another IPv4 prefix")
        yield from _gateway(site)


def _gateway(site: Site) -> Iterator[Diagnostic]:
    network = site.network
    if network is None or network.ipv6 is None or network.ipv6_gateway is None:
        return
    span = place(site.spans, "network.ipv6.gateway", site.span)
    text = addresses.gateway6(network.ipv6, network.ipv6_gateway)
    gateway = IPv6Address(text)
    if gateway not in network.ipv6:
        yield AGREE_TITLE.at(span, f"gateway {gateway} is outside {network.ipv6}; choose one inside")
        return
    base, numbers = int(network.ipv4.network_address), _numbers(site)
    for what, offset in addresses.offsets(network.ipv4.prefixlen, numbers, has_switch=False):
        derived = IPv6Address(addresses.join6(addresses.base6(network.ipv6), base + offset))
        if what != "gateway" and not what.startswith("BMC") and derived == gateway:
            yield AGREE_TITLE.at(span, f"gateway {gateway} is the address of {what}; choose another one")


DISTINCT = Rule(
    DISTINCT_TITLE.code,
    DISTINCT_TITLE.name,
    "every derived address of a site is its own, inside the prefix, and neither network nor broadcast",
    "Gateway, switch, baseboard controllers, machines and all experiment slots follow from the prefix by fixed "
    "offsets. In a /28 or /29 the controller of mlab1 has the offset that a switch has in a /26, so such a site has "
    "one machine and no managed switch. Machines of a virtual site must have addresses of their own. A /28 has 11 "
    "slots and a /29 has 3: index 12 of a /28 would be its broadcast address, index 4 of a /29 is somebody else's. "
    "The site's file decides: it allows S06, and experiments without a slot are left out there; or it allows S05, and "
    "they are published all the same, as the public platform does.",
    each=_distinct,
    across=_beyond,
)
SLOTS = Rule(
    SLOTS_TITLE.code,
    SLOTS_TITLE.name,
    "an experiment whose index has no slot in a site's prefix is not deployed or published there",
    "A /26 has 12 slots per machine, a /28 has 11, a /29 has 3. An experiment with an index above that is left out at "
    "the site: no names, no addresses, no pods. A site says that this is meant by allowing S06, or that the addresses "
    "are to be published all the same by allowing S05 (see there). It is an error at the experiment if one of its "
    "placements selects exactly such a site by the label mlab/site.",
    across=_slots,
)
AGREE = Rule(
    AGREE_TITLE.code,
    AGREE_TITLE.name,
    "derived IPv6 addresses are inside the prefix, and index2ip on the node derives the same",
    "An IPv6 address is the prefix and the decimal digits of the last IPv4 octet. The plug-in on the node computes an "
    "experiment's addresses from the machine's own and the index; it must arrive at what we publish, for every slot.",
    each=_agree,
)
