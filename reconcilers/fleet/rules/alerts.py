"""A01: an alert's name is its identity everywhere, and a rule reads only series that something records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.model import Entity, Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

NAMES_TITLE = Title("A01", "alert.names")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')
_BRACKETS = re.compile(r"\[[^\]]*\]")
_COMMENT = re.compile(r"#[^\n]*")
_SERIES = re.compile(r"(?<![\w:])[a-zA-Z_:][\w:]*(?![\w:])")
_LISTS = ("alerts", "records", "rules")
"""The lists of a group in which alerts and recording rules may stand."""


def _rules(group: Entity, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Path and rule of every item that has a key (`alert`, `record`)."""
    for part in _LISTS:
        for position, rule in enumerate(group.data.get(part) or ()):
            if isinstance(rule, Mapping) and rule.get(key):
                yield f"{part}.{position}", rule


def recorded_series(expression: str) -> set[str]:
    """Names with a colon in a PromQL expression: by convention the output of recording rules."""
    bare = _COMMENT.sub("", _QUOTED.sub("", expression))
    bare = _BRACKETS.sub("", re.sub(r"\{[^}]*\}", "", bare))
    return {name for name in _SERIES.findall(bare) if ":" in name.strip(":")}


def _names(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    for key, what in (("alert", "alert"), ("record", "recorded series")):
        first: dict[str, tuple[str, Span]] = {}
        for group in fleet.alerts.values():
            for path, rule in _rules(group, key):
                name = str(rule[key])
                span = place(group.spans, f"{path}.{key}", group.span)
                if name in first:
                    owner, where = first[name]
                    message = f"{what} {name} is already in group {owner}; rename one or remove it"
                    yield NAMES_TITLE.at(span, message, related=((where, f"first in {owner}"),))
                first.setdefault(name, (group.name, span))
    if not absent.any("alerts"):
        yield from _dangling(fleet)


def _dangling(fleet: Fleet) -> Iterator[Diagnostic]:
    recorded = {str(rule["record"]) for group in fleet.alerts.values() for _, rule in _rules(group, "record")}
    for group in fleet.alerts.values():
        for part in _LISTS:
            for position, rule in enumerate(group.data.get(part) or ()):
                expression = str(rule.get("expr", "")) if isinstance(rule, Mapping) else ""
                if ":" not in expression:
                    continue
                for series in sorted(recorded_series(expression) - recorded):
                    span = place(group.spans, f"{part}.{position}.expr", group.span)
                    name = rule.get("alert") or rule.get("record")
                    message = f"{name} reads {series}, which no rule records; correct the name or add the rule"
                    yield NAMES_TITLE.at(span, message)


NAMES = Rule(
    NAMES_TITLE.code,
    NAMES_TITLE.name,
    "names of alerts and recorded series are unique, and recorded series that are read exist",
    "Silences, routes, issues and dashboards refer to an alert by its name alone. A series whose name holds a colon is "
    "recorded by a rule; an expression over one that nothing records never fires and never fails.",
    across=_names,
)
