"""The DNS zones of one environment as record sets: the primary zone of the domain, and the zone of its project.

What is fixed (the apex, verifications, delegations) stands in `config/zones/`; what follows from the fleet is derived
here: a switch and a baseboard controller have an A record, a machine and an experiment on it an A and an AAAA, each
of them also under a decorated name with one family only (`mlab1v4-lga05`, `mlab1v6-lga05`).

As on the public platform a project's zone holds every published site, whichever project owns its machines, because
clients of one project resolve others' names there; `zones: owned` in the environment keeps the owned ones only.

Start of authority and name servers of a zone itself are not here: whoever serves the zone makes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec

from reconcilers.core.model import Span
from reconcilers.fleet import derive, names
from reconcilers.fleet.memo import OfFleet
from reconcilers.fleet.model import Entity, Environment, Fleet

RecordType = Literal["A", "AAAA", "CNAME", "TXT", "NS", "MX", "CAA"]
APEX = "@"
ALL, OWNED = "all", "owned"
"""What `zones` of an environment may say."""
_TEXT_LIMIT = 255
"""Bytes of one string of a TXT record; longer ones are cut into several, which readers join."""


class RecordSet(msgspec.Struct, frozen=True):
    """All values of one name and type.

    `name` is relative to the zone (`@`: the zone itself); values are in the form that zone files have, a host name in
    one ends in a dot; `span` is the line in git that it is there for.
    """

    name: str
    type: RecordType
    ttl_s: int
    values: tuple[str, ...]
    span: Span


@dataclass(frozen=True, eq=False)
class Hosts:
    """The A and AAAA records that follow from the fleet: one value for all zones that have the same.

    Equal to itself only, so that what was found out about its thirty thousand records is found out once a fleet.
    """

    records: tuple[RecordSet, ...] = ()

    @cached_property
    def names(self) -> Mapping[str, RecordSet]:
        """One record of each name."""
        return {record.name: record for record in self.records}

    @cached_property
    def longest(self) -> int:
        """Letters of the longest name."""
        return max(map(len, self.names), default=0)

    @cached_property
    def counted(self) -> Mapping[tuple[int, str], int]:
        """How many there are of each place and type; a place is told by identity (`id`), as a machine's one is."""
        return Counter((id(record.span), record.type) for record in self.records)


_NO_HOSTS = Hosts()


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone: `domain` has no trailing dot."""

    domain: str
    ttl_s: int
    fixed: tuple[RecordSet, ...]
    hosts: Hosts = _NO_HOSTS

    @property
    def records(self) -> tuple[RecordSet, ...]:
        """All, as zone files list them: fixed ones, all A, all AAAA."""
        return self.fixed + self.hosts.records

    def absolute(self, name: str) -> str:
        """A record's full name, with the trailing dot."""
        return f"{self.domain}." if name == APEX else f"{name}.{self.domain}."


def zones(fleet: Fleet, environment: Environment) -> tuple[Zone, ...]:
    """Every zone of the environment, by domain: those that it publishes, whether or not it serves them too."""
    return _ZONES(fleet, environment)


def served(fleet: Fleet, environment: Environment) -> tuple[Zone, ...]:
    """The zones that the environment's project serves: the primary one is served by one project only."""
    elsewhere = {
        _filled(entity.data["domain"], environment)
        for entity in fleet.zones.values()
        if environment.project not in entity.data.get("projects", (environment.project,))
    }
    return tuple(zone for zone in zones(fleet, environment) if zone.domain not in elsewhere)


def _zones(fleet: Fleet, environment: Environment) -> tuple[Zone, ...]:
    made = [_zone(fleet, entity, environment) for entity in fleet.zones.values()]
    return tuple(sorted(made, key=lambda zone: zone.domain))


_ZONES = OfFleet(_zones)


def _zone(fleet: Fleet, entity: Entity, environment: Environment) -> Zone:
    template, ttl_s, hosts = entity.data["domain"], entity.data["ttl_s"], entity.data["hosts"]
    of_fleet = _NO_HOSTS
    if hosts != "none":
        owned = environment.data.get("zones") == OWNED and "{project}" in template
        wanted = _Wanted(environment.domain, ttl_s, hosts == "switches", environment.project if owned else None)
        of_fleet = _HOSTS(fleet, wanted)
    return Zone(_filled(template, environment), ttl_s, tuple(_fixed(entity, environment, ttl_s)), of_fleet)


def _filled(text: str, environment: Environment) -> str:
    return text.replace("{project}", environment.project).replace("{domain}", environment.domain)


def _fixed(entity: Entity, environment: Environment, ttl_s: int) -> Iterator[RecordSet]:
    for position, record in enumerate(entity.data.get("records", ())):
        values = [_filled(value, environment) for value in record["values"]]
        if record["type"] == "TXT":
            values = [_quoted(value) for value in values]
        span = entity.spans.get(f"records.{position}", entity.span)
        yield RecordSet(record["name"], record["type"], record.get("ttl_s", ttl_s), tuple(values), span)


def _quoted(text: str) -> str:
    """A text as quoted strings of at most 255 bytes each."""
    raw = text.encode()
    parts = [raw[start : start + _TEXT_LIMIT] for start in range(0, len(raw), _TEXT_LIMIT)] or [b""]
    return " ".join('"' + "".join(_character(byte) for byte in part) + '"' for part in parts)


def _character(byte: int) -> str:
    if byte in b'"\\':
        return f"\\{chr(byte)}"
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03d}"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which hosts a zone has. Names are relative, so that projects' zones that hold every site share the records."""

    domain: str
    ttl_s: int
    switches_only: bool
    owned: str | None


def _hosts(fleet: Fleet, wanted: _Wanted) -> Hosts:
    return Hosts(tuple(_host_records(fleet, wanted)))


_HOSTS = OfFleet(_hosts)


def _host_records(fleet: Fleet, wanted: _Wanted) -> Iterator[RecordSet]:
    """All A records, then all AAAA records: switches, controllers, machines, experiments."""
    derived, ttl_s = derive.under(fleet, wanted.domain), wanted.ttl_s
    machines: Iterable[derive.Machine] = derived.machines
    experiments: Iterable[derive.ExperimentHost] = derived.experiments
    switches: Iterable[derive.SwitchHost] = derived.switches
    if wanted.owned is not None:
        machines, experiments = derived.machines_of(wanted.owned), derived.experiments_of(wanted.owned)
        sites = {machine.site for machine in machines}
        switches = [switch for switch in switches if switch.site in sites]
    if wanted.switches_only:
        machines, experiments = (), ()
    with6: list[RecordSet] = []
    for switch in switches:
        span = fleet.sites[switch.site].span
        yield RecordSet(switch.hostname.partition(".")[0], "A", ttl_s, (switch.ipv4,), span)
    for machine in machines:
        if machine.bmc:
            yield RecordSet(machine.bmc_hostname.partition(".")[0], "A", ttl_s, (machine.bmc,), machine.span)
    for machine in machines:
        head, tail = machine.name, f"-{machine.site}"
        yield from _pair(head, tail, machine.ipv4, machine.ipv6, ttl_s, machine.span, with6)
    for host in experiments:
        machine = host.machine
        head, tail = f"{names.flat(host.experiment)}-{machine.name}", f"-{machine.site}"
        yield from _pair(head, tail, host.ipv4, host.ipv6, ttl_s, machine.span, with6)
    yield from with6


def _pair(
    head: str, tail: str, ipv4: str, ipv6: str, ttl_s: int, span: Span, with6: list[RecordSet]
) -> Iterator[RecordSet]:
    """The A records of a host; its AAAA records are put aside."""
    yield RecordSet(f"{head}{tail}", "A", ttl_s, (ipv4,), span)
    yield RecordSet(f"{head}v4{tail}", "A", ttl_s, (ipv4,), span)
    if ipv6:
        with6.append(RecordSet(f"{head}{tail}", "AAAA", ttl_s, (ipv6,), span))
        with6.append(RecordSet(f"{head}v6{tail}", "AAAA", ttl_s, (ipv6,), span))
