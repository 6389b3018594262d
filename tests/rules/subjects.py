"""Fleets, rules' answers and small objects for the tests of this folder, all by hand and without files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from typing import Any

from reconcilers.core.model import Span
from reconcilers.fleet import rules
from reconcilers.fleet.model import Entity, Experiment, Fleet, Site
from reconcilers.fleet.past import Past, Times
from reconcilers.fleet.rules.rule import Absent
from tests import fleet_values as values

TODAY = date(2026, 11, 25)


def fleet(*sites: Site, experiments: Mapping[str, Experiment] | None = None, **parts: Any) -> Fleet:
    base: dict[str, Any] = {
        "environments": {name: values.environment(name) for name in values.PROJECTS},
        "sites": {site.name: site for site in sorted(sites, key=lambda site: site.name)},
        "experiments": values.experiments() if experiments is None else experiments,
        "routing": None,
        **{part: {} for part in ("datatypes", "embargo", "alerts", "images", "buckets", "acks")},
        **parts,
    }
    return Fleet(**base)


def problems(code: str, subject: Fleet, absent: Absent | None = None, severity: str = "error") -> list[str]:
    found = [*rules.check_each(subject, absent), *rules.check_across(subject, absent)]
    return [problem.message for problem in found if problem.code == code and problem.severity == severity]


def over_time(code: str, subject: Fleet, past: Past | None = None, today: date = TODAY) -> list[str]:
    """Messages of a rule's part that looks at the day and at the past."""
    found = rules.check_over_time(subject, Absent(), Times(today, past))
    return [problem.message for problem in found if problem.code == code]


def aged(site: Site, created: str) -> Site:
    return dataclasses.replace(site, lifecycle=dataclasses.replace(site.lifecycle, created=date.fromisoformat(created)))


def entity(kind: str, name: str, **data: Any) -> Entity:
    return Entity(kind, name, {"name": name, **data}, Span(f"config/{kind}/{name}.yaml", 1, 1))


def experiment(name: str, index: int | None, *, aliases: tuple[str, ...] = (), data: Any = None) -> Experiment:
    file = Span(f"config/experiments/{name}.yaml", 1, 1)
    return Experiment(name, index, aliases, False, True, ("mlab-oti",), 1, (), (), data or {}, file)
