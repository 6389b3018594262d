"""What becomes of each field of a site: one table, read by the import, by its tests and by the page about it.

A value goes over as it stands. Only some change their form: `AS3356` is a number here, an address loses its `/32` or
`/128`, a probability of 1 is 1.0, and what equals our default is left out. A value that does not have the form is
passed on untouched: our schema then says what is wrong with it, in its own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconcilers.fleet import addresses
from reconcilers.fleet.derive import UPLINK_PORTS
from reconcilers.importing.inventory import Described, mapping
from reconcilers.load.build import DISK_IFACE

Path = tuple[str, ...]
_ABSENT = object()


def _same(value: Any) -> Any:
    return value


def _asn(value: Any) -> Any:
    """`AS3356` as a number."""
    return int(value[2:]) if isinstance(value, str) and re.fullmatch(r"AS[0-9]{1,10}", value) else value


def _chance(value: Any) -> Any:
    """Written with a fraction, as all probabilities are: 1.0."""
    return float(value) if type(value) is int else value


def _host4(value: Any) -> Any:
    return value.removesuffix("/32") if isinstance(value, str) else value


def _host6(value: Any) -> Any:
    return value.removesuffix("/128") if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Field:
    """Where a value is, where it goes, and what may be left out because it is our default."""

    theirs: str
    ours: str
    convert: Callable[[Any], Any] = _same
    default: object = _ABSENT


FIELDS: tuple[Field, ...] = (
    Field("name", "name"),
    Field("annotations.type", "type"),
    Field("annotations.provider", "provider"),
    Field("annotations.donated", "donated"),
    Field("annotations.probability", "probability", _chance),
    Field("loadbalancer.roundrobin", "roundrobin", default=True),
    Field("lifecycle.created", "lifecycle.created"),
    Field("lifecycle.retired", "lifecycle.retired"),
    Field("location.metro", "location.metro"),
    Field("location.city", "location.city"),
    Field("location.state", "location.state"),
    Field("location.country_code", "location.country"),
    Field("location.continent_code", "location.continent"),
    Field("location.latitude", "location.latitude"),
    Field("location.longitude", "location.longitude"),
    Field("transit.provider", "transit.provider"),
    Field("transit.asn", "transit.asn", _asn),
    Field("transit.uplink", "transit.uplink"),
    Field("transit.tier", "transit.tier"),
    Field("network.ipv4.prefix", "network.ipv4.prefix"),
    Field("network.ipv4.dns1", "network.ipv4.dns1", default="8.8.8.8"),
    Field("network.ipv4.dns2", "network.ipv4.dns2", default="8.8.4.4"),
    Field("network.ipv6.prefix", "network.ipv6.prefix"),
    Field("network.ipv6.gateway", "network.ipv6.gateway"),
    Field("network.ipv6.dns1", "network.ipv6.dns1", default="2001:4860:4860::8888"),
    Field("network.ipv6.dns2", "network.ipv6.dns2", default="2001:4860:4860::8844"),
    Field("switch.make", "switch.make"),
    Field("switch.model", "switch.model"),
    Field("switch.auto_negotiation", "switch.auto_negotiation", default="yes"),
    Field("switch.flow_control", "switch.flow_control", default="no"),
    Field("switch.rstp", "switch.rstp", default="yes"),
    Field("switch.uplink_port", "switch.uplink_port"),
)
MACHINE: tuple[Field, ...] = (
    Field("model", "model"),
    Field("disk", "disk"),
    Field("iface", "iface"),
    Field("project", "project"),
    Field("network.ipv4.address", "ipv4", _host4),
    Field("network.ipv6.address", "ipv6", _host6),
)
"""Fields of `machines.NAME`. A model, disk or interface that the inventory lacks is written as null."""


def site(described: Described, reuses: tuple[str, ...]) -> dict[str, Any]:
    """The site as our file has it, without kind and without `allow`."""
    document = described.document
    made: dict[str, Any] = {"lifecycle": {"state": described.state}}
    defaults = {"switch.uplink_port": UPLINK_PORTS.get(str(at(document, "transit.uplink")), _ABSENT)}
    for field in FIELDS:
        _copy(document, made, field, defaults.get(field.theirs, field.default))
    _nulls(document, made)
    if described.state == "retired":  # nothing of a site that is gone is to be made at the boot service
        made["lifecycle"]["boot_records"] = "removed"
    if reuses:
        made["reuses"] = list(reuses)
    kind = str(at(document, "annotations.type"))
    machines = at(document, "machines")
    if isinstance(machines, dict):
        machines = {name: machine(described.name, kind, name, mapping(machines[name])) for name in sorted(machines)}
    return made if machines is _ABSENT else {**made, "machines": machines}


def machine(site_name: str, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """One machine as our file has it."""
    disk, iface = DISK_IFACE.get(kind, ("", ""))
    project = addresses.default_project(site_name, name)
    defaults: dict[str, object] = {"disk": disk, "iface": iface, "project": project}
    made: dict[str, Any] = {}
    for field in MACHINE:
        default = defaults.get(field.theirs, field.default)
        if field.theirs in ("model", "disk", "iface") and at(spec, field.theirs) is _ABSENT:
            made[field.ours] = None
        else:
            _copy(spec, made, field, default)
    return made


def _copy(document: Mapping[str, Any], made: dict[str, Any], field: Field, default: object) -> None:
    value = at(document, field.theirs)
    if value is _ABSENT or value == default:
        return
    *folders, last = field.ours.split(".")
    for folder in folders:
        made = made.setdefault(folder, {})
    made[last] = field.convert(value)


def _nulls(document: Mapping[str, Any], made: dict[str, Any]) -> None:
    """No switch and no IPv6 prefix are a null of the whole, whatever else stands beside them there."""
    if "switch" in document and document["switch"] is None:
        made["switch"] = None
    network = mapping(document.get("network"))
    if at(network, "ipv6.prefix") is None:
        made.setdefault("network", {})["ipv6"] = None


def at(document: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or a mark of its own."""
    value: Any = document
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return _ABSENT
        value = value[key]
    return value


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every single value of a document with its path; an empty object or list is a value."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for position, inner in enumerate(value):
            yield from leaves(inner, (*path, str(position)))
    else:
        yield path, value


def field_of(path: Path) -> str:
    """The path of a field whatever the machine's name: `machines.*.disk`."""
    return ".".join(("machines", "*", *path[2:]) if path[0] == "machines" and len(path) > 1 else path)
