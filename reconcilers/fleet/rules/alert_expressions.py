"""A02: an alert's expression can be parsed, speaks of workloads that exist, and can be quiet in maintenance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import promql
from reconcilers.fleet.model import Entity, Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

EXPRESSION_TITLE = Title("A02", "alert.expression")
CLUSTER = "platform"
"""The cluster in which the experiments run; other clusters have workloads of their own."""
_WORKLOAD_LABELS = ("deployment", "workload", "daemonset")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:\|[A-Za-z0-9_-]+)*\Z")


def workloads(fleet: Fleet) -> set[str]:
    """Names of everything that runs on the nodes: placements of experiments, and the system's own programs."""
    names = {p["name"] for experiment in fleet.experiments.values() for p in experiment.data.get("placements") or ()}
    system = fleet.images.get("system")
    return names | set(system.data.get("images") or {}) if system else names


def expressions(group: Entity) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Field, expression and rule of everything in a group that Prometheus evaluates."""
    for part in ("records", "alerts"):
        for position, rule in enumerate(group.data.get(part) or ()):
            yield f"{part}.{position}.expr", str(rule.get("expr", "")), rule
            missing = rule.get("missing")
            if missing:
                yield f"{part}.{position}.missing.metric", str(missing["metric"]), rule


def _parses(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for group in fleet.alerts.values():
        for path, text, rule in expressions(group):
            query = promql.read(text)
            if query.error:
                span = place(group.spans, path, group.span)
                name = rule.get("alert") or rule.get("record")
                yield EXPRESSION_TITLE.at(span, f"{name} cannot be parsed: {query.error}; correct the expression")
            elif path.endswith("expr"):
                yield from _joins(group, path.removesuffix("expr"), rule, query)


def _joins(group: Entity, path: str, rule: Mapping[str, Any], query: promql.Query) -> Iterator[Diagnostic]:
    """Maintenance is taken out by a join on a label: without it, nothing is ever taken out."""
    maintenance = rule.get("maintenance", "none")
    wanted = [] if maintenance == "none" else [("maintenance", maintenance)]
    wanted += [("lame_duck", "machine")] if rule.get("lame_duck") else []
    for field, label in wanted:
        if not query.labels.has(label):
            span = place(group.spans, f"{path}{field}", group.span)
            message = (
                f"{rule.get('alert')} is to be quiet by label {label} ({field}), but its result has no such label; "
                f"keep it in the expression, as by ({label})"
            )
            yield EXPRESSION_TITLE.at(span, message)


def _names(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    if absent.any("experiments") or absent.any("images"):
        return
    known = workloads(fleet)
    for group in fleet.alerts.values():
        if group.data.get("cluster") != CLUSTER:
            continue
        for path, text, rule in expressions(group):
            for selector in promql.read(text).selectors:
                for matcher in selector.matchers:
                    if matcher.label in _WORKLOAD_LABELS:
                        yield from _exists(group, path, rule, matcher, known)


def _exists(
    group: Entity, path: str, rule: Mapping[str, Any], matcher: promql.Matcher, known: set[str]
) -> Iterator[Diagnostic]:
    for name in unknown(matcher, known):
        span = place(group.spans, path, group.span)
        what = rule.get("alert") or rule.get("record")
        message = (
            f"{what} speaks of {matcher.label}{matcher.op}{name!r}, but no workload is called so; there are "
            f"{', '.join(sorted(known))}"
        )
        yield EXPRESSION_TITLE.at(span, message)


def unknown(matcher: promql.Matcher, known: set[str]) -> list[str]:
    """What a condition names and nothing is called; of a plain alternative each part, of another pattern the whole."""
    if not matcher.value:
        return []
    if matcher.op in ("=", "!="):
        return [] if matcher.value in known else [matcher.value]
    if _PLAIN.match(matcher.value):
        return [name for name in matcher.value.split("|") if name not in known]
    return [] if any(matches(matcher.value, name) for name in known) else [matcher.value]


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern of Prometheus matches a whole text; one that only Prometheus understands may match."""
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error:
        return True


EXPRESSION = Rule(
    EXPRESSION_TITLE.code,
    EXPRESSION_TITLE.name,
    "expressions can be parsed, name existing workloads, and keep the label by which maintenance is taken out",
    "An expression over a workload that was renamed never fires and never fails: labels deployment, workload and "
    "daemonset of the platform cluster name placements of experiments or images of config/images/system.yaml. An alert "
    "with maintenance: site (or machine, or lame_duck) is joined with the maintenance exporter on that label; if an "
    "aggregation has dropped it, the alert pages in every maintenance.",
    each=_parses,
    across=_names,
)
