"""From a valid document to the typed model. What a schema cannot promise (a network address) fails here.

A value that cannot be built is a problem at its place, never an exception: the schema may be looser than Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import rules
from reconcilers.fleet.model import (
    Entity,
    Environment,
    Experiment,
    Lifecycle,
    Location,
    MachineSpec,
    Network,
    Silence,
    Site,
    Switch,
    Transit,
)
from reconcilers.fleet.rules import prefixes
from reconcilers.load import codes
from reconcilers.load.document import Document

Built = Site | Experiment | Environment | Entity
T = TypeVar("T")
DISK_IFACE = {"physical": ("sda", "eth0"), "virtual": ("pd-ssd", "ens4")}
"""Disk and interface of a machine whose file names none, by the site's type."""


@dataclass(slots=True)
class _Unbuildable(Exception):
    """Ends the building of one object; carries the problem."""

    problem: Diagnostic


def build(document: Document, kind: str, data: Mapping[str, Any]) -> tuple[Built | None, list[Diagnostic]]:
    """The object of a valid document; `data` is its value with defaults."""
    try:
        if kind == "Site":
            return _site(document, data), []
        if kind == "Experiment":
            return _experiment(document, data), []
        span, spans = document.span(()), document.spans()
        if kind == "Environment":
            return environment(data, document), []
        return Entity(kind, data["name"], data, span, spans, () if kind == "Ack" else _allow(document, data)), []
    except _Unbuildable as error:
        return None, [error.problem]


def environment(data: Mapping[str, Any], document: Document) -> Environment:
    """An environment out of its document, perhaps patched."""
    span, spans = document.span(()), document.spans()
    return Environment(data["name"], data["project"], data["domain"], data, span, spans, _allow(document, data))


def _allow(document: Document, data: Mapping[str, Any]) -> tuple[Silence, ...]:
    return tuple(
        Silence(rules.code_of(item["rule"]), item["reason"], document.span(("allow", position)))
        for position, item in enumerate(data.get("allow") or ())
    )


def _site(document: Document, data: Mapping[str, Any]) -> Site:
    place, life, transit = data["location"], data["lifecycle"], data["transit"]
    network, switch = data.get("network"), data.get("switch")
    return Site(
        name=data["name"],
        type=data["type"],
        provider=data["provider"],
        donated=data["donated"],
        probability=data["probability"],
        lifecycle=Lifecycle(
            state=life["state"],
            created=_date(document, ("lifecycle", "created"), life["created"]),
            retired=None if life["retired"] is None else _date(document, ("lifecycle", "retired"), life["retired"]),
            boot_records=life.get("boot_records", "kept"),
        ),
        location=Location(
            metro=place["metro"],
            city=place["city"],
            state=place["state"],
            country=place["country"],
            continent=place["continent"],
            latitude=place["latitude"],
            longitude=place["longitude"],
        ),
        transit=Transit(transit["provider"], transit["asn"], transit["uplink"], transit.get("tier", "")),
        network=_network(document, network) if network else None,
        switch=_switch(switch) if switch is not None else None,
        machines=tuple(_machine(document, data["type"], name, spec) for name, spec in sorted(data["machines"].items())),
        span=document.span(()),
        spans=document.spans(),
        roundrobin=data["roundrobin"],
        reuses=tuple(data["reuses"]),
        allow=_allow(document, data),
    )


def _machine(document: Document, site_type: str, name: str, spec: Mapping[str, Any]) -> MachineSpec:
    path = ("machines", name)
    disk, iface = DISK_IFACE[site_type]
    ipv4, ipv6 = spec.get("ipv4"), spec.get("ipv6")
    return MachineSpec(
        name=name,
        model=spec.get("model") or "",
        span=document.key(path)[0],
        disk=spec.get("disk", disk) or "",
        iface=spec.get("iface", iface) or "",
        project=spec.get("project"),
        project_reason=spec.get("project_reason", ""),
        ipv4=None if ipv4 is None else _parsed(document, (*path, "ipv4"), ipv4, IPv4Address),
        ipv6=None if ipv6 is None else _parsed(document, (*path, "ipv6"), ipv6, IPv6Address),
    )


def _network(document: Document, network: Mapping[str, Any]) -> Network:
    ipv4, ipv6 = network["ipv4"], network["ipv6"]
    prefix = _prefix(document, ("network", "ipv4", "prefix"), ipv4["prefix"], IPv4Network)
    if ipv6 is None:
        return Network(prefix, None, ipv4_dns=(ipv4["dns1"], ipv4["dns2"]))
    return Network(
        prefix,
        _prefix(document, ("network", "ipv6", "prefix"), ipv6["prefix"], IPv6Network),
        ipv4_dns=(ipv4["dns1"], ipv4["dns2"]),
        ipv6_dns=(ipv6["dns1"], ipv6["dns2"]),
        ipv6_gateway=ipv6.get("gateway"),
    )


def _switch(switch: Mapping[str, Any]) -> Switch:
    return Switch(
        make=switch["make"],
        model=switch["model"],
        auto_negotiation=switch["auto_negotiation"],
        flow_control=switch["flow_control"],
        rstp=switch["rstp"],
        uplink_port=switch.get("uplink_port"),
    )


def _experiment(document: Document, data: Mapping[str, Any]) -> Experiment:
    return Experiment(
        name=data["name"],
        index=data["index"],
        aliases=tuple(data["aliases"]),
        cloud=data["cloud"],
        ipv6=data["ipv6"],
        projects=tuple(data["projects"]),
        position=data["position"],
        archived=tuple(data["datatypes"]["archived"]),
        autoloaded=tuple(data["datatypes"]["autoloaded"]),
        data=data,
        span=document.span(()),
        spans=document.spans(),
        allow=_allow(document, data),
    )


def _date(document: Document, path: Sequence[str], text: str) -> date:
    parsed: date = _parsed(document, path, text, date.fromisoformat)
    return parsed


def _parsed(document: Document, path: Sequence[str], text: str, parse: Any) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        message = f"`{'.'.join(path)}` is {text!r}: {error}"
        problem = codes.VALUE.at(document.span(path), message, end=document.end(path))
        raise _Unbuildable(problem) from error


def _prefix(document: Document, path: Sequence[str], text: str, parse: type[T]) -> T:
    wide = _parsed(document, path, text, lambda value: parse(value, strict=False))  # type: ignore[call-arg]
    message = prefixes.host_bits(text, wide)
    if message:
        rule = prefixes.GLOBAL
        span, end = document.span(path), document.end(path)
        raise _Unbuildable(Diagnostic(rule.code, rule.name, f"`{'.'.join(path)}` {message}", span, end=end))
    built: T = wide
    return built
