"""A03: whatever runs is missed when it is gone, and every kind of site when it cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet import promql
from reconcilers.fleet.model import PUBLISHED_STATES, Fleet
from reconcilers.fleet.rules.alert_expressions import expressions, matches
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

COVERAGE_TITLE = Title("A03", "alert.coverage")
PRODUCTION = "mlab-oti"
"""The project that is watched in full; what runs elsewhere only would be missed there for ever."""
SYSTEM = ("cadvisor", "disco", "node-exporter")
"""Programs of the system that every node runs and that serve metrics."""
_PROBE = "probe_success"


def _check(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    if not fleet.alerts or any(absent.any(folder) for folder in ("alerts", "experiments", "images")):
        return
    selectors = [
        selector
        for group in fleet.alerts.values()
        for path, text, _ in expressions(group)
        if path.startswith("alerts.")
        for selector in promql.read(text).selectors
    ]
    asked = [selector for selector in selectors if selector.absent]
    for name, span in _workloads(fleet):
        if not any(_names(selector, name) for selector in asked):
            message = (
                f'no alert fires when {name} is gone; add one with absent(up{{deployment="{name}"}}) to config/alerts/'
            )
            yield COVERAGE_TITLE.at(span, message)
    yield from _reachable(fleet, [s for s in selectors if not s.absent and s.name == _PROBE])


def _workloads(fleet: Fleet) -> Iterator[tuple[str, Span]]:
    for experiment in fleet.experiments.values():
        for position, placement in enumerate(experiment.data.get("placements") or ()):
            if PRODUCTION in placement.get("projects", experiment.projects):
                yield placement["name"], place(experiment.spans, f"placements.{position}", experiment.span)
    system = fleet.images.get("system")
    for name in SYSTEM if system else ():
        if system and name in (system.data.get("images") or {}):
            yield name, place(system.spans, f"images.{name}", system.span)


def _names(selector: promql.Selector, workload: str) -> bool:
    """Whether a series that is asked for by a name of workloads is one of this workload."""
    conditions = [m for m in selector.matchers if m.label in ("deployment", "workload", "daemonset")]
    return bool(conditions) and all(_holds(matcher, workload) for matcher in conditions)


def _holds(matcher: promql.Matcher, value: str) -> bool:
    found = matches(matcher.value, value) if matcher.op in ("=~", "!~") else matcher.value == value
    return found == (matcher.op in ("=", "=~"))


def _reachable(fleet: Fleet, probes: list[promql.Selector]) -> Iterator[Diagnostic]:
    """By the labels of the target files: which of them hold machines or switches of a type of site."""
    from reconcilers.fleet import target_files  # what it stands on is not needed to judge one file

    cloud = {name for e in fleet.experiments.values() if e.cloud for name in (e.name, *e.aliases)}
    first: dict[str, Span] = {}
    for site in fleet.sites.values():
        if site.lifecycle.state in PUBLISHED_STATES:
            first.setdefault(site.type, place(site.spans, "type", site.span))
    for kind, span in first.items():
        probed = [file for file in target_files.FILES if "module" in file.selection.labels]
        there = [f for f in probed if kind == "physical" or (not f.selection.physical and f.of in cloud)]
        if not any(_selects(probe, file.selection.labels) for probe in probes for file in there):
            message = (
                f"no alert fires when {kind} sites cannot be reached; add one over {_PROBE} of a service that they "
                "are probed for to config/alerts/"
            )
            yield COVERAGE_TITLE.at(span, message)


def _selects(probe: promql.Selector, labels: Mapping[str, str]) -> bool:
    return all(_holds(m, labels.get(m.label, "")) for m in probe.matchers if m.label in ("module", "service"))


COVERAGE = Rule(
    COVERAGE_TITLE.code,
    COVERAGE_TITLE.name,
    "every workload has an alert for its absence, and every type of site one for its reachability",
    "Most alerts are over numbers that a program gives, so that a program which is gone is quiet. For each placement "
    f"that runs in {PRODUCTION}, and for the system's programs ({', '.join(SYSTEM)}), some alert asks "
    "absent(…{deployment=…}). For physical and for virtual sites some alert is over probe_success of a service, or a "
    "switch, that is probed at such sites. One alert may cover several by a pattern. Experiments that production does "
    "not run are not looked at: one set of alerts serves all projects, and would miss them in production for ever.",
    across=_check,
    error_from=date(2027, 1, 1),
)
