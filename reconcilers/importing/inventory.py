"""An inventory in siteinfo's form, however it was read: sites as they are published, the experiments, the domain.

A site is its effective document, all defaults applied, as `sites.json` shows it: readers of jsonnet and of published
files arrive at the same value, so that everything behind them is one path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.addresses import MAX_INDEX
from reconcilers.fleet.derive import Entry

State = Literal["active", "retired", "unlisted"]
CODE, NAME = "I01", "import.source"
_SITE = re.compile(r"[a-z]{3}[0-9][0-9t]\Z")
_EXPERIMENT = re.compile(r"[a-z][a-z0-9]{0,15}(\.[a-z0-9]{1,16})?\Z")
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z")


@dataclass(frozen=True, slots=True)
class Host:
    """A name and its addresses as the inventory itself derives them; `""` where there is none."""

    hostname: str
    ipv4: str
    ipv6: str


@dataclass(frozen=True, slots=True)
class Described:
    """One site: its effective fields without `nodes`, and the hosts that its own derivation gave; `origin` its file."""

    name: str
    state: State
    document: Mapping[str, Any]
    hosts: tuple[Host, ...]
    origin: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that was read from `origin`: sites by name, experiments in their order, the domain of all hosts."""

    origin: str
    sites: tuple[Described, ...]
    experiments: tuple[Entry, ...]
    domain: str


def problem(place: str, message: str) -> Diagnostic:
    """Something about the source that a person has to change there."""
    return Diagnostic(CODE, NAME, message, Span(place))


def refuse(problems: Sequence[Diagnostic]) -> ConfigError:
    """The error that carries all problems of the source; nothing was written."""
    count = len(problems)
    return ConfigError(f"the inventory has {count} problem{'s'[: count != 1]}; nothing was written", problems)


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one: what is not of the form is told by the schema later."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def entry(item: Mapping[str, Any]) -> Entry:
    """One line of the list of experiments, in siteinfo's words; an index that is no number is 0."""
    index = item.get("index")
    number = index if isinstance(index, int) and not isinstance(index, bool) else 0
    return Entry(
        str(item.get("name")), number, item.get("cloud_enabled") is True, item.get("ipv6_enabled") is not False
    )


def hosts_of(nodes: Any) -> Iterator[Host]:
    """The hosts of a site's `nodes`: each machine, then its experiments."""
    for node in objects(nodes):
        yield from host_of(node)
        for experiment in objects(node.get("experiments")):
            yield from host_of(experiment)


def host_of(item: Mapping[str, Any]) -> Iterator[Host]:
    """The host of a node, of one of its experiments, or of an entry of `hostnames.json`, if it is one."""
    hostname = item.get("hostname")
    if isinstance(hostname, str):
        addresses = (item.get(old, mapping(item.get(new)).get("ip")) for old, new in (("ipv4", "v4"), ("ipv6", "v6")))
        ipv4, ipv6 = (address if isinstance(address, str) else "" for address in addresses)
        yield Host(hostname, ipv4, ipv6)


def faults(inventory: Inventory) -> Iterator[Diagnostic]:
    """An inventory that says nothing, and names that cannot be those of our files."""
    if not any(site.state == "active" for site in inventory.sites):
        yield problem("sites", "no site is active; an inventory that lists none is taken for a mistake")
    if not inventory.experiments:
        yield problem("experiments", "there is none; it must be a list of objects with name and index")
    for site in inventory.sites:
        if not _SITE.match(site.name):
            message = f"site {site.name!r} has not the form of a name (abc01, abc0t): rename it, or leave it out"
            yield problem(site.origin, message)
    for listed in inventory.experiments:
        if not _EXPERIMENT.match(listed.name) or not 1 <= listed.index <= MAX_INDEX:
            message = f"experiment {listed.name!r} with index {listed.index} is none: a name like ndt, 1 to {MAX_INDEX}"
            yield problem("experiments", message)


def domain_of(sites: Iterable[Described]) -> str:
    """What all machines' names end in, behind the project. Raises `ConfigError` if they disagree or say nothing."""
    found: dict[str, str] = {}
    for site in sites:
        for name, machine in mapping(site.document.get("machines")).items():
            head = f"{name}-{site.name}.{mapping(machine).get('project')}."
            for host in site.hosts:
                if host.hostname.startswith(head):
                    found.setdefault(host.hostname.removeprefix(head), site.origin)
    if len(found) == 1 and _DOMAIN.match(next(iter(found))):
        return next(iter(found))
    if not found:
        message = "no machine has a host name of the form mlab1-abc01.PROJECT.DOMAIN, so the domain is not known"
        raise refuse([problem("nodes", message)])
    listed = ", ".join(f"{domain} ({place})" for domain, place in sorted(found.items()))
    raise refuse([problem("nodes", f"machines are under several domains: {listed}; a fleet has one")])
