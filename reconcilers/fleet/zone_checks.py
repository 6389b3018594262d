"""Whether zones make sense, beyond what a name server checks when it takes a record.

D01 every zone that the project serves is one that the target writes   D05 names and labels are short enough
D02 an alias stands alone, and not at the apex                         D06 times to live are sane
D03 what a name points to is there                                     D07 each machine has the records it implies
D04 an address lies in the prefix of its site                          D08 reverse and forward records agree

Pure, over integers and text: some 60 ms for the 28,709 records of 164 sites, once for all zones that have the same.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import addresses, derive
from reconcilers.fleet.memo import OfFleet
from reconcilers.fleet.model import Environment, Fleet, Site
from reconcilers.fleet.rules.rule import Title
from reconcilers.fleet.zones import APEX, OWNED, Hosts, RecordSet, Zone

NAME_LIMIT, LABEL_LIMIT = 253, 63
"""Characters of a whole name without its last dot, and of one part (RFC 1035, 2.3.4)."""
TTL_RANGE_S = (30, 86_400)

_UNLISTED = Title("D01", "zone.unlisted")
_ALIAS = Title("D02", "zone.alias")
_TARGET = Title("D03", "zone.target")
_ADDRESS = Title("D04", "zone.address")
_LENGTH = Title("D05", "zone.name")
_TTL = Title("D06", "zone.ttl")
_COUNT = Title("D07", "zone.count")
_REVERSE = Title("D08", "zone.reverse")

_TO_COME = "_acme-challenge"
"""An alias of this name may point to what is only there while a certificate is asked for."""
_POINTING = {"CNAME": 0, "NS": 0, "PTR": 0, "MX": 1, "SRV": 3}
"""Types that name a host, and the place of its name in the value."""


def check(fleet: Fleet, environment: Environment, served: Sequence[Zone]) -> list[Diagnostic]:
    """Everything that is wrong with the zones of an environment, in the order of the zones."""
    found = [*_unlisted(environment, served), *records(served)]
    for zone in served:
        found += _addresses(fleet, zone.fixed)
        found += _ADDRESSES(fleet, zone.hosts)
        if zone.domain == f"{environment.project}.{environment.domain}":
            found += _counts(fleet, environment, zone)
    return found


def records(served: Sequence[Zone]) -> list[Diagnostic]:
    """What is wrong with the records by themselves, whatever they were made of."""
    found: list[Diagnostic] = []
    for zone in served:
        found += _lengths(zone)
        found += _aliases(zone)
    found += _targets(served)
    found += _reverse(served)
    return found


def _unlisted(environment: Environment, served: Sequence[Zone]) -> Iterator[Diagnostic]:
    listed = environment.data["targets"]["dns"]["zones"]
    span = environment.spans.get("targets.dns.zones", environment.span)
    for zone in served:
        if zone.domain not in listed:
            message = f"{environment.project} serves {zone.domain}, which the list does not have; add it"
            yield _UNLISTED.at(span, message)


def _lengths(zone: Zone) -> Iterator[Diagnostic]:
    room = NAME_LIMIT - len(zone.domain) - 1
    low, high = TTL_RANGE_S
    usual = zone.hosts.longest <= min(room, LABEL_LIMIT) and low <= zone.ttl_s <= high
    for record in zone.fixed if usual else zone.records:
        if len(record.name) > room:
            message = f"{record.name[:40]}… is longer than {NAME_LIMIT} characters below {zone.domain}; shorten it"
            yield _LENGTH.at(record.span, message)
        if len(record.name) > LABEL_LIMIT and max(map(len, record.name.split("."))) > LABEL_LIMIT:
            message = f"{record.name[:40]}… has a part of more than {LABEL_LIMIT} characters; shorten it"
            yield _LENGTH.at(record.span, message)
        if not low <= record.ttl_s <= high:
            message = f"{record.name}: time to live {record.ttl_s} s is not within {low} to {high} s; choose another"
            yield _TTL.at(record.span, message)


def _aliases(zone: Zone) -> Iterator[Diagnostic]:
    aliases = [record for record in zone.fixed if record.type == "CNAME"]
    by_name = {record.name: record for record in zone.fixed if record.type != "CNAME"}
    for record in aliases:
        if record.name == APEX:
            message = f"{zone.domain} itself cannot be an alias: its SOA record is there; use an address"
            yield _ALIAS.at(record.span, message)
        if len(record.values) > 1:
            yield _ALIAS.at(record.span, f"{record.name} is an alias of {len(record.values)} names; leave one")
        other = zone.hosts.names.get(record.name) or by_name.get(record.name)
        if other is not None:
            message = f"{record.name} in {zone.domain} is an alias and has {other.type} records too; keep one of both"
            yield _ALIAS.at(record.span, message, related=((other.span, f"the {other.type} record"),))


def _targets(served: Sequence[Zone]) -> Iterator[Diagnostic]:
    pointing = [record for zone in served for record in zone.fixed if record.type in _POINTING]
    pointing = [record for record in pointing if record.name.partition(".")[0] != _TO_COME]
    if not pointing:
        return
    zones = {zone.domain: (zone.hosts.names, {record.name for record in zone.fixed}) for zone in served}
    cut = {zone.domain: {record.name for record in zone.fixed if record.type == "NS"} for zone in served}
    for record in pointing:
        for value in record.values:
            target = value.split()[_POINTING[record.type]].rstrip(".").lower()
            if target and not _is_there(target, zones, cut):
                message = f"{record.type} {record.name} points to {target}, which is not in its zone; add it there"
                yield _TARGET.at(record.span, message)


def _is_there(target: str, zones: Mapping[str, Sequence[Container[str]]], cut: Mapping[str, set[str]]) -> bool:
    """True for a name of ours that exists or is delegated away, and for any that is in no zone of ours."""
    above = [domain for domain in zones if target == domain or target.endswith(f".{domain}")]
    if not above:
        return True
    domain = max(above, key=len)
    name = APEX if target == domain else target.removesuffix(f".{domain}")
    if name == APEX or any(name in names for names in zones[domain]):
        return True
    parts = name.split(".")
    return any(".".join(parts[start:]) in cut[domain] for start in range(len(parts)))


def _addresses(fleet: Fleet, found: Iterable[RecordSet]) -> Iterator[Diagnostic]:
    by_file = {site.span.file: site for site in fleet.sites.values()}
    inside: dict[tuple[str, str], list[Range]] = {}
    for file, site in by_file.items():
        inside[file, "A"], inside[file, "AAAA"] = _inside(site)
    right: tuple[str, str] = ("", "")
    for record in found:
        file = record.span.file
        ranges = inside.get((file, record.type))
        if ranges is None:
            continue
        for value in record.values:
            if (file, value) == right:
                continue  # a decorated name follows its plain one
            packed = socket.inet_pton(_FAMILIES[record.type], value)
            if any(first <= packed <= last for first, last in ranges):
                right = (file, value)
                continue
            message = (
                f"{record.type} {record.name}: {value} is not an address of {by_file[file].name}; see its prefixes"
            )
            yield _ADDRESS.at(record.span, message)


_ADDRESSES = OfFleet[Hosts, tuple[Diagnostic, ...]](lambda fleet, hosts: tuple(_addresses(fleet, hosts.records)))

Range = tuple[bytes, bytes]
_FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}


def _inside(site: Site) -> tuple[list[Range], list[Range]]:
    """First and last address of what is the site's, of both families: its prefixes, or its machines' own addresses."""
    if site.network is None:
        four = [(m.ipv4.packed, m.ipv4.packed) for m in site.machines if m.ipv4 is not None]
        six = [(m.ipv6.packed, m.ipv6.packed) for m in site.machines if m.ipv6 is not None]
        return four, six
    prefix = site.network.ipv4
    last = prefix.broadcast_address
    if derive.index_limit(site) > addresses.slots(prefix.prefixlen):
        # The site's file allows the experiments beyond its prefix to be published all the same.
        last = prefix.network_address + 255 - int(prefix.network_address) % 256
    ranges6 = []
    if site.network.ipv6 is not None:
        ranges6.append((site.network.ipv6.network_address.packed, site.network.ipv6.broadcast_address.packed))
    return [(prefix.network_address.packed, last.packed)], ranges6


def _counts(fleet: Fleet, environment: Environment, zone: Zone) -> Iterator[Diagnostic]:
    """Of each machine: one A for its controller; an A and an AAAA, each under two names, for it and each experiment."""
    # All records of a machine have the very place that the machine has, not one equal to it.
    counted = zone.hosts.counted
    derived = derive.under(fleet, environment.domain)
    machines: Iterable[derive.Machine] = derived.machines
    if environment.data.get("zones") == OWNED:
        machines = derived.machines_of(environment.project)
    indexes = [e for e in fleet.experiments.values() if e.index is not None]
    experiments = {
        name: sum(
            1 + len(e.aliases)
            for e in indexes
            if (e.cloud if site.network is None else (e.index or 0) <= derive.index_limit(site))
        )
        for name, site in fleet.sites.items()
    }
    for machine in machines:
        hosts = 1 + experiments[machine.site]
        expected = {"A": 2 * hosts + bool(machine.bmc), "AAAA": 2 * hosts if machine.ipv6 else 0}
        for kind, number in expected.items():
            there = counted.get((id(machine.span), kind), 0)
            if there != number:
                message = (
                    f"{machine.name}-{machine.site} has {there} {kind} record sets in "
                    f"{zone.domain} where its experiments imply {number}; two of its names are one"
                )
                yield _COUNT.at(machine.span, message)


def _reverse(served: Sequence[Zone]) -> Iterator[Diagnostic]:
    pointing: str = "PTR"  # served by no zone of ours today
    if not any(record.type == pointing for zone in served for record in zone.fixed):
        return
    forward: dict[str, set[str]] = defaultdict(set)
    for zone in served:
        for record in zone.records:
            if record.type in ("A", "AAAA"):
                forward[zone.absolute(record.name)].update(record.values)
    for zone in served:
        for record in zone.fixed:
            kind: str = record.type
            if kind != "PTR":
                continue
            pointer = zone.absolute(record.name).rstrip(".")
            for value in record.values:
                addresses = {ip_address(address).reverse_pointer for address in forward.get(value.lower(), ())}
                if pointer not in addresses:
                    yield _REVERSE.at(record.span, f"{pointer} points to {value}, which does not have that address")
