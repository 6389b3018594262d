"""The rules that a schema cannot express: over one object, and across the whole fleet. Pure functions, no I/O.

Codes and names are for good: people silence, search and discuss rules by them. Each module holds the rules of one
subject and says what they cost; together they take some 20 ms for 164 sites.
"""

from __future__ import annotations

from reconcilers.core.model import Diagnostic
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.rules import alerts, embargo, experiments, hostnames, layout, prefixes, sites
from reconcilers.fleet.rules.rule import Absent, Rule

ALL: tuple[Rule, ...] = (
    hostnames.STEM,
    prefixes.OVERLAP,
    prefixes.GLOBAL,
    layout.DISTINCT,
    layout.SLOTS,
    layout.AGREE,
    sites.METRO,
    sites.PROJECT,
    hostnames.PARSES,
    experiments.INDEX,
    alerts.NAMES,
    embargo.EMBARGO,
)


def check_each(fleet: Fleet, absent: Absent | None = None) -> tuple[Diagnostic, ...]:
    """Problems that one object has by itself, in place order."""
    return tuple(sorted(_all(fleet, absent or Absent(), "each"), key=order))


def check_across(fleet: Fleet, absent: Absent | None = None) -> tuple[Diagnostic, ...]:
    """Problems between objects, in place order."""
    return tuple(sorted(_all(fleet, absent or Absent(), "across"), key=order))


def order(problem: Diagnostic) -> tuple[object, ...]:
    """File, line, column, then code: the order in which problems are printed."""
    return problem.span, problem.code, problem.message


def _all(fleet: Fleet, absent: Absent, part: str) -> list[Diagnostic]:
    checks = [rule.each if part == "each" else rule.across for rule in ALL]
    return [problem for check in checks for problem in check(fleet, absent)]
