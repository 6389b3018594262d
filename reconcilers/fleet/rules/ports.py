"""E03: in one pod no two programs listen on one port, and the firewall opens what is asked for from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.model import Experiment, Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

PORTS_TITLE = Title("E03", "experiment.ports")
SERVICE = 9990
"""Where a measurement serves its metrics unless its file says otherwise."""
SIDECARS = {
    "access": 9989,
    "tcp-info": 9991,
    "traceroute-caller": 9992,
    "packet-headers": 9993,
    "uuid-annotator": 9994,
    "pusher": 9995,
    "heartbeat": 9996,
    "jostler": 9997,
    "revtr-sidecar": 9998,
}
"""Metrics ports of the sidecars, the same in every pod; jsonnet/kubernetes/sidecars.libsonnet starts them there."""
METRICS = (9990, 9999)
_NAMED = {**SIDECARS, "the measurement": SERVICE}
_OF_SCHEME = {"ws": 80, "http": 80, "wss": 443, "https": 443}
_URL = re.compile(r"(ws|wss|http|https)://(?::([0-9]+))?/")


def _check(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for experiment in fleet.experiments.values():
        told: set[tuple[Span, str]] = set()
        for position, _ in enumerate(experiment.data.get("placements") or ()):
            for problem in _distinct(experiment, position):
                if (problem.span, problem.message) not in told:
                    told.add((problem.span, problem.message))
                    yield problem
        yield from _open(experiment)


Listener = tuple[str, int, str, str]
"""Container, port, protocol, and the field that says so."""


def _sidecars(data: Mapping[str, Any], *, autoloads: bool) -> Iterator[Listener]:
    chosen = data.get("sidecars") or {}
    present = {name: chosen.get("measurement", False) for name in SIDECARS}
    present["access"] = chosen.get("access", False)
    present["heartbeat"] = chosen.get("heartbeat", False)
    present["revtr-sidecar"] = chosen.get("revtr", False)
    present["jostler"] = present["jostler"] and autoloads
    for name, port in SIDECARS.items():
        if present[name]:
            yield name, port, "TCP", "sidecars"


def _container(container: Mapping[str, Any], name: str, path: str, default: int | None) -> Iterator[Listener]:
    port = container.get("metricsPort", default)
    if port is not None:
        yield name, port, "TCP", f"{path}.metricsPort"
    for position, declared in enumerate(container.get("ports") or ()):
        yield name, declared["port"], declared.get("protocol", "TCP"), f"{path}.ports.{position}.port"


def _listeners(experiment: Experiment, position: int) -> Iterator[Listener]:
    data = experiment.data
    placement = data["placements"][position]
    yield from _sidecars(data, autoloads=bool(experiment.autoloaded))
    if data.get("container"):
        yield from _container(data["container"], experiment.name, "container", SERVICE)
    for number, container in enumerate(data.get("containers") or ()):
        yield from _container(container, container["name"], f"containers.{number}", None)
    for number, container in enumerate(placement.get("containers") or ()):
        path = f"placements.{position}.containers.{number}"
        yield from _container(container, container["name"], path, None)


def _distinct(experiment: Experiment, position: int) -> Iterator[Diagnostic]:
    first: dict[tuple[int, str], Listener] = {}
    for name, port, protocol, path in _listeners(experiment, position):
        key = (port, protocol)
        if key in first and first[key][0] != name:
            owner, _, _, other = first[key]
            span = place(experiment.spans, path, place(experiment.spans, path.rpartition(".")[0], experiment.span))
            where = place(experiment.spans, other, place(experiment.spans, other.rpartition(".")[0], experiment.span))
            message = f"{name} of {experiment.name} listens on {port}, which is {owner}'s in this pod; choose another"
            yield PORTS_TITLE.at(span, message, related=((where, f"{owner} has {port}"),))
        first.setdefault(key, (name, port, protocol, path))


def _open(experiment: Experiment) -> Iterator[Diagnostic]:
    firewall = experiment.data.get("firewall")
    if not firewall:
        return
    opened = [_range(entry) for entry in firewall.get("tcp") or ()]
    span = place(experiment.spans, "firewall.tcp", experiment.span)
    closed = [port for port in range(METRICS[0], METRICS[1] + 1) if not _covers(opened, port)]
    if closed:
        message = (
            f"the firewall of {experiment.name} closes {closed[0]}, so that nobody can scrape what listens there; open "
            f'"{METRICS[0]}-{METRICS[1]}"'
        )
        yield PORTS_TITLE.at(span, message)
    if (experiment.data.get("sidecars") or {}).get("access") and not _covers(opened, SIDECARS["access"]):
        message = f"the firewall of {experiment.name} closes {SIDECARS['access']}, the metrics of access; open it"
        yield PORTS_TITLE.at(span, message)
    for service, urls in (experiment.data.get("services") or {}).items():
        for position, url in enumerate(urls):
            port = port_of(url)
            if port is not None and not _covers(opened, port):
                where = place(experiment.spans, f"services.{service}.{position}", experiment.span)
                message = f"{service} of {experiment.name} is offered at {url}, but the firewall closes {port}; open it"
                yield PORTS_TITLE.at(where, message, related=((span, "what is open"),))


def port_of(url: str) -> int | None:
    """The port of a URL without host, by its scheme if it names none."""
    match = _URL.match(url)
    return (int(match[2]) if match[2] else _OF_SCHEME[match[1]]) if match else None


def _range(entry: int | str) -> tuple[int, int]:
    first, _, last = str(entry).partition("-")
    return int(first), int(last or first)


def _covers(opened: list[tuple[int, int]], port: int) -> bool:
    return any(first <= port <= last for first, last in opened)


PORTS = Rule(
    PORTS_TITLE.code,
    PORTS_TITLE.name,
    "programs of one pod have ports of their own, and the firewall opens metrics and every service",
    "All containers of a pod share its network. Metrics have fixed ports, which dashboards and firewalls know: "
    + ", ".join(f"{port} {name}" for port, name in sorted((port, name) for name, port in _NAMED.items()))
    + ". A pod with addresses of its own drops everything that its firewall does not open: 9990-9999 for the "
    "scrapers, and the port of every URL under services, or clients are sent to a closed door.",
    each=_check,
)
