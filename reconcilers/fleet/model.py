"""The fleet as git describes it: typed, frozen, free of I/O.

Built by `reconcilers.load.fleet` out of validated YAML; a field that the YAML may leave out has its default here
applied already. Shapes follow the schemas in `schemas/`. Everything derived from these values (names, addresses,
published files) is a pure function elsewhere in this package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Literal

from reconcilers.core.model import Span

NOWHERE = Span("")
"""The place of a value that was not read from a file."""

SiteType = Literal["physical", "virtual"]
SiteState = Literal["planned", "active", "lame-duck", "retired", "unlisted"]
PUBLISHED_STATES = ("active", "lame-duck")
"""States in which a site's machines are published, addressed, monitored and may boot."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A rule that one file may break, and why; `rule` is its code (as written, if no rule has that code or name)."""

    rule: str
    reason: str
    span: Span


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """`boot_records` of a retired site: `kept` leaves refused-to-boot host records at ePoxy, `removed` deletes them."""

    state: SiteState
    created: date
    retired: date | None = None
    boot_records: Literal["kept", "removed"] = "kept"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a site is: IATA metro in lower case, ISO codes in upper case, degrees."""

    metro: str
    city: str
    state: str
    country: str
    continent: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Transit:
    """Who connects the site; `uplink` is 1g, 10g or 40g; `tier` is a cloud network tier or empty."""

    provider: str
    asn: int
    uplink: str
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """The site's prefixes and resolvers; `ipv6` is None for a site without IPv6; gateway None means the first."""

    ipv4: IPv4Network
    ipv6: IPv6Network | None
    ipv4_dns: tuple[str, str] = ("8.8.8.8", "8.8.4.4")
    ipv6_dns: tuple[str, str] = ("2001:4860:4860::8888", "2001:4860:4860::8844")
    ipv6_gateway: str | None = None


@dataclass(frozen=True, slots=True)
class Switch:
    """The managed switch of a full site; `uplink_port` None means derived from the uplink."""

    make: str = "juniper"
    model: str = "qfx5100-48s"
    auto_negotiation: str = "yes"
    flow_control: str = "no"
    rstp: str = "yes"
    uplink_port: str | None = None


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """What a site's file says of one machine; addresses only for virtual ones; `project` only where it deviates.

    An empty model, disk or interface is one that nobody recorded (rule S16); defaults are filled in before.
    """

    name: str
    model: str
    span: Span
    disk: str = ""
    iface: str = ""
    project: str | None = None
    project_reason: str = ""
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """One site. `spans` maps a dotted field path (`network.ipv4.prefix`) to its place in the file."""

    name: str
    type: SiteType
    provider: str
    donated: bool
    probability: float
    lifecycle: Lifecycle
    location: Location
    transit: Transit
    network: Network | None
    switch: Switch | None
    machines: tuple[MachineSpec, ...]
    span: Span
    spans: Mapping[str, Span] = field(default_factory=dict, hash=False, compare=False, repr=False)
    roundrobin: bool = True
    reuses: tuple[str, ...] = ()
    allow: tuple[Silence, ...] = ()


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment. `data` is the whole validated document with defaults, for jsonnet; the rest is what Python needs.

    `index` is None for an experiment on the host network. `aliases` share the index (`ndt.iupui`).
    """

    name: str
    index: int | None
    aliases: tuple[str, ...]
    cloud: bool
    ipv6: bool
    projects: tuple[str, ...]
    position: int
    archived: tuple[str, ...]
    autoloaded: tuple[str, ...]
    data: Mapping[str, Any] = field(hash=False)
    span: Span = NOWHERE
    spans: Mapping[str, Span] = field(default_factory=dict, hash=False, compare=False, repr=False)
    allow: tuple[Silence, ...] = ()


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment: which project it reconciles, how far it may go, and where its targets are.

    `data` is the whole validated document, after the overlay of a platform on one machine, if any.
    """

    name: str
    project: str
    domain: str
    data: Mapping[str, Any] = field(hash=False)
    span: Span = NOWHERE
    spans: Mapping[str, Span] = field(default_factory=dict, hash=False, compare=False, repr=False)
    allow: tuple[Silence, ...] = ()

    @property
    def services_domain(self) -> str:
        """The domain of the platform's own services, where it is another than that of the machines."""
        domain: str = self.data.get("services_domain") or self.domain
        return domain


@dataclass(frozen=True, slots=True)
class Entity:
    """An object without a type of its own: datatype, embargo rule, alert group, routing, image, bucket, zone, ack."""

    kind: str
    name: str
    data: Mapping[str, Any] = field(hash=False)
    span: Span = NOWHERE
    spans: Mapping[str, Span] = field(default_factory=dict, hash=False, compare=False, repr=False)
    allow: tuple[Silence, ...] = ()


Item = Site | Experiment | Environment | Entity
"""Anything that one file of `config/` holds."""


def allows(item: Item, code: str) -> bool:
    """Whether an object's file says that it may break a rule."""
    return any(silence.rule == code for silence in item.allow)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything under `config/`, each mapping sorted by name."""

    environments: Mapping[str, Environment]
    sites: Mapping[str, Site]
    experiments: Mapping[str, Experiment]
    datatypes: Mapping[str, Entity]
    embargo: Mapping[str, Entity]
    alerts: Mapping[str, Entity]
    routing: Entity | None
    images: Mapping[str, Entity]
    buckets: Mapping[str, Entity]
    acks: Mapping[str, Entity]
    zones: Mapping[str, Entity] = field(default_factory=dict)
    networks: Mapping[str, Entity] = field(default_factory=dict)


def items(fleet: Fleet) -> Iterator[Item]:
    """Every object, folder by folder."""
    yield from fleet.environments.values()
    yield from fleet.sites.values()
    yield from fleet.experiments.values()
    for part in (
        fleet.datatypes,
        fleet.embargo,
        fleet.alerts,
        fleet.images,
        fleet.buckets,
        fleet.zones,
        fleet.networks,
        fleet.acks,
    ):
        yield from part.values()
    if fleet.routing is not None:
        yield fleet.routing
