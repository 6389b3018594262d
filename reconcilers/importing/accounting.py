"""Nothing lost: what our files publish of each site is held against the document that it was imported from.

Compared are the values as they would be published, not as the mapping thinks that it moved them, so that a mistake of
the mapping shows as a value without counterpart. Host names and addresses, which both sides derive, are compared too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from typing import Any

from reconcilers.fleet import derive, inventory_sites
from reconcilers.fleet.model import Fleet
from reconcilers.importing.inventory import Host, Inventory
from reconcilers.importing.mapping import FIELDS, MACHINE, field_of, leaves

OURS: dict[str, str] = {field.theirs: field.ours for field in FIELDS} | {
    f"machines.*.{field.theirs}": f"machines.*.{field.ours}" for field in MACHINE
}
OURS["switch"] = "switch"
"""Where each field of theirs is in our file."""


@dataclass(frozen=True, slots=True)
class Missing:
    """One value that our files do not give back."""

    site: str
    path: str
    value: Any


@dataclass(frozen=True, slots=True)
class FieldCount:
    """One field over all sites: `values` of them, `kept` as they are, `respelled` with the same meaning."""

    theirs: str
    ours: str
    values: int
    kept: int
    respelled: int

    @property
    def lost(self) -> int:
        """Values without a counterpart."""
        return self.values - self.kept - self.respelled


@dataclass(frozen=True, slots=True)
class Account:
    """Fields by name, each value that is lost, and what became of names and addresses."""

    fields: tuple[FieldCount, ...]
    missing: tuple[Missing, ...]
    hosts: int
    differing: tuple[str, ...]


def account(inventory: Inventory, fleet: Fleet) -> Account:
    """Compare an inventory with the fleet that was made of it."""
    shown = replace(
        fleet,
        sites={
            name: replace(site, lifecycle=replace(site.lifecycle, state="active")) for name, site in fleet.sites.items()
        },
    )
    derived = derive.under(shown, inventory.domain)
    documents = {document["name"]: document for document in inventory_sites.sites(shown, inventory.domain)}
    counts: dict[str, list[int]] = {}
    missing: list[Missing] = []
    for site in inventory.sites:
        ours = dict(leaves({key: value for key, value in documents[site.name].items() if key != "nodes"}))
        for path, value in leaves(site.document):
            count = counts.setdefault(field_of(path), [0, 0, 0])
            count[0] += 1
            if path in ours and _equal(value, ours[path]):
                count[1] += 1
            elif path in ours and _means(value) is not None and _means(value) == _means(ours[path]):
                count[2] += 1
            else:
                missing.append(Missing(site.name, ".".join(path), value))
    fields = tuple(FieldCount(name, OURS.get(name, ""), *count) for name, count in sorted(counts.items()))
    hosts = list(_theirs(inventory))
    known = {host.hostname: host for host in _ours(derived)}
    return Account(fields, tuple(missing), len(hosts), tuple(_differing(hosts, known)))


def _equal(theirs: Any, ours: Any) -> bool:
    return bool(theirs == ours) and isinstance(theirs, bool) == isinstance(ours, bool)


def _means(value: Any) -> Any:
    """The address or prefix that a text stands for, however it is written."""
    try:
        return ip_interface(value) if isinstance(value, str) and (":" in value or "." in value) else None
    except ValueError:
        return None


def _theirs(inventory: Inventory) -> Iterator[Host]:
    """Of sites that are not active, machines only: what their experiments would be called now is published nowhere."""
    for site in inventory.sites:
        for host in site.hosts:
            if site.state == "active" or host.hostname.startswith("mlab"):
                yield host


def _ours(derived: derive.Derived) -> Iterator[Host]:
    yield from (Host(machine.hostname, machine.ipv4, machine.ipv6) for machine in derived.machines)
    yield from (Host(host.hostname, host.ipv4, host.ipv6) for host in derived.experiments)


def _differing(hosts: list[Host], known: Mapping[str, Host]) -> Iterator[str]:
    for host in hosts:
        ours = known.get(host.hostname)
        if ours is None:
            yield f"{host.hostname}: we have no such name"
            continue
        for word, theirs, own in (("IPv4", host.ipv4, ours.ipv4), ("IPv6", host.ipv6, ours.ipv6)):
            if theirs != own and (_means(theirs) is None or _means(theirs) != _means(own)):
                yield f"{host.hostname}: {word} {own or 'none'}, theirs is {theirs or 'none'}"
