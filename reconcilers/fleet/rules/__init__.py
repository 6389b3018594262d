"""The rules that a schema cannot express: over one object, and across the whole fleet. Pure functions, no I/O.

Codes and names are for good: people silence, search and discuss rules by them. Each module holds the rules of one
subject and says what they cost; together they take some 20 ms for 164 sites.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from reconcilers.core.model import Diagnostic
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.past import Times
from reconcilers.fleet.rules import (
    alert_coverage,
    alert_expressions,
    alerts,
    components,
    data_path,
    descriptions,
    embargo,
    experiments,
    hostnames,
    layout,
    lifecycles,
    placements,
    places,
    ports,
    prefixes,
    releases,
    reuse,
    services,
    silences,
    sites,
    transit,
    zone_records,
)
from reconcilers.fleet.rules.rule import Absent, Rule

ALL: tuple[Rule, ...] = (
    hostnames.STEM,
    prefixes.OVERLAP,
    reuse.REUSE,
    prefixes.GLOBAL,
    layout.DISTINCT,
    layout.SLOTS,
    layout.AGREE,
    sites.METRO,
    places.PLACE,
    sites.PROJECT,
    lifecycles.DATES,
    transit.TRANSIT,
    hostnames.PARSES,
    lifecycles.DRAIN,
    descriptions.TEXTS,
    descriptions.MACHINES,
    experiments.INDEX,
    data_path.DATA,
    ports.PORTS,
    placements.CLOUD,
    services.SERVICES,
    placements.LABELS,
    alerts.NAMES,
    alert_expressions.EXPRESSION,
    alert_coverage.COVERAGE,
    embargo.EMBARGO,
    components.VERSIONS,
    releases.RELEASES,
    zone_records.ZONE,
    silences.UNUSED,
    silences.UNKNOWN,
)
_CODES = {name: rule.code for rule in ALL for name in (rule.code, rule.name)}


def code_of(rule: str) -> str:
    """The code of a rule given by code or name; the text itself where there is no such rule."""
    return _CODES.get(rule, rule)


def check_each(fleet: Fleet, absent: Absent | None = None) -> tuple[Diagnostic, ...]:
    """Problems that one object has by itself, in place order."""
    return tuple(sorted(_all(fleet, absent or Absent(), "each"), key=order))


def check_across(fleet: Fleet, absent: Absent | None = None) -> tuple[Diagnostic, ...]:
    """Problems between objects, in place order."""
    return tuple(sorted(_all(fleet, absent or Absent(), "across"), key=order))


def check_over_time(fleet: Fleet, absent: Absent, times: Times) -> tuple[Diagnostic, ...]:
    """Problems of the fleet with the day it is and with its past, in place order."""
    return tuple(sorted((p for rule in ALL for p in rule.over_time(fleet, absent, times)), key=order))


def dated(problems: Iterable[Diagnostic], today: date) -> list[Diagnostic]:
    """The same problems; errors of a rule whose day has not come are warnings."""
    days = {rule.code: rule.error_from for rule in ALL if rule.error_from}
    found = []
    for problem in problems:
        day = days.get(problem.code)
        early = problem.severity == "error" and day is not None and today < day
        found.append(replace(problem, severity="warning", error_from=day) if early else problem)
    return found


def order(problem: Diagnostic) -> tuple[object, ...]:
    """File, line, column, then code: the order in which problems are printed."""
    return problem.span, problem.code, problem.message


def _all(fleet: Fleet, absent: Absent, part: str) -> list[Diagnostic]:
    checks = [rule.each if part == "each" else rule.across for rule in ALL]
    return [problem for check in checks for problem in check(fleet, absent)]
