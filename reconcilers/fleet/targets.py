"""Targets in Prometheus' file discovery format, chosen and named as the public platform's tool does (`mlabconfig`).

It reads `sites.json` and so does this: a checkout's own or a published one, v1 or v2. Three shapes: a record for each
experiment on a machine, for each machine, for each site. A decoration goes behind the machine's name (`mlab1v6-lga05`);
labels always name the undecorated machine, so that probes of both families join.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reconcilers.fleet import bracket_templates
from reconcilers.fleet.names import Decoration, flat

Shape = Literal["experiments", "machines", "sites"]
Site = Mapping[str, Any]
Record = dict[str, Any]
_MACHINE_LETTERS = len("mlab1")


@dataclass(frozen=True, slots=True)
class Selection:
    """What to list: `select` is a regular expression searched for in the host name, or in the name of a site.

    `templates` hold `{{hostname}}`, or `{{sitename}}` for sites; each record has a target for each of them.
    """

    shape: Shape
    templates: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    project: str = ""
    select: str = ""
    decoration: Decoration = ""
    physical: bool = False
    flat: bool = False
    """One label before the domain, also for a v1 name (`ndt-iupui-mlab1-lga05`), as a wildcard certificate needs."""
    only_with_ipv6: bool = False
    experiment: str = ""
    """The one experiment or alias of exactly this name; a search in host names finds `neubot-mlab1` for two."""


def records(sites: Iterable[Site], wanted: Selection) -> list[Record]:
    """The records in the order of the sites. Raises `re.error` for a `select` that is no regular expression."""
    found = re.compile(wanted.select).search if wanted.select else _everything
    if wanted.shape == "sites":
        return list(_sites(sites, wanted, found))
    each = _experiments if wanted.shape == "experiments" else _machines
    return [record for node in nodes(sites, wanted) for record in each(node, wanted, found)]


def nodes(sites: Iterable[Site], wanted: Selection) -> Iterator[Mapping[str, Any]]:
    """The machines of the wanted kind and project, whatever their names."""
    for site in sites:
        if wanted.physical and site["annotations"]["type"] != "physical":
            continue
        for node in site["nodes"]:
            if not wanted.project or node["project"] == wanted.project:
                yield node


def _everything(_name: str) -> bool:
    return True


def _experiments(node: Mapping[str, Any], wanted: Selection, found: Callable[[str], object]) -> Iterator[Record]:
    for experiment in node["experiments"]:
        if wanted.experiment and experiment["name"] != wanted.experiment:
            continue
        plain: str = experiment["hostname"]
        if not found(plain) or (wanted.only_with_ipv6 and not experiment["v6"]["ip"]):
            continue
        # Both versions of a name hold the experiment's name in as many letters, a separator, and the machine's.
        decorated = _decorated(plain, len(experiment["name"]) + 1 + _MACHINE_LETTERS, wanted.decoration)
        hostname = _flattened(decorated, experiment["name"]) if wanted.flat else decorated
        labels = {
            **wanted.labels,
            "experiment": experiment["name"],
            "ipv6": _ipv6(experiment["v6"]["ip"]),
            "machine": node["hostname"],
        }
        yield _record(wanted, labels, {"hostname": hostname})


def _machines(node: Mapping[str, Any], wanted: Selection, found: Callable[[str], object]) -> Iterator[Record]:
    plain: str = node["hostname"]
    if found(plain) and not (wanted.only_with_ipv6 and not node["v6"]["ip"]):
        hostname = _decorated(plain, _MACHINE_LETTERS, wanted.decoration)
        labels = {**wanted.labels, "ipv6": _ipv6(node["v6"]["ip"]), "machine": plain}
        yield _record(wanted, labels, {"hostname": hostname})


def _sites(sites: Iterable[Site], wanted: Selection, found: Callable[[str], object]) -> Iterator[Record]:
    """A site that has a place for a switch and none in it is left out of the switches' targets."""
    of_switches = bool(wanted.templates) and wanted.templates[0].startswith("s1")
    for site in sites:
        if not found(site["name"]) or (wanted.physical and site["annotations"]["type"] != "physical"):
            continue
        if of_switches and "switch" in site and site["switch"] is None:
            continue
        yield _record(wanted, {**wanted.labels, "site": site["name"]}, {"sitename": site["name"]})


def _record(wanted: Selection, labels: Mapping[str, str], values: Mapping[str, str]) -> Record:
    return {"labels": labels, "targets": [bracket_templates.fill(template, values) for template in wanted.templates]}


def _decorated(hostname: str, length: int, decoration: Decoration) -> str:
    return hostname[:length] + decoration + hostname[length:]


def _flattened(hostname: str, experiment: str) -> str:
    """A v1 name as one label before the domain; a v2 name has no dot there."""
    head = f"{experiment}."
    if not hostname.startswith(head):
        return hostname
    machine, site, domain = hostname.removeprefix(head).split(".", 2)
    return f"{flat(experiment)}-{machine}-{site}.{domain}"


def _ipv6(address: str) -> Literal["present", "missing"]:
    return "present" if address else "missing"
