"""S08 and S10: sites of a metro agree on where they are, and a machine's project follows from its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from reconcilers.core.model import Diagnostic
from reconcilers.fleet import addresses
from reconcilers.fleet.model import Fleet, Site
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

METRO_TITLE = Title("S08", "site.metro-agrees")
PROJECT_TITLE = Title("S10", "site.machine-project")
_FIELDS = ("city", "state", "country", "continent", "latitude", "longitude")


def _metro_is_name(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site in fleet.sites.values():
        if site.location.metro != site.name[:3]:
            span = place(site.spans, "location.metro", site.span)
            message = f"metro {site.location.metro} is not how {site.name} begins; write {site.name[:3]}, or rename"
            yield METRO_TITLE.at(span, message)


def _metros_agree(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    metros: dict[str, list[Site]] = {}
    for site in fleet.sites.values():
        if site.lifecycle.state not in ("retired", "unlisted"):
            metros.setdefault(site.location.metro, []).append(site)
    for metro, sites in metros.items():
        if len(sites) == 1 or len({site.location for site in sites}) == 1:
            continue
        for name in _FIELDS:
            yield from _odd(metro, sites, name)


def _odd(metro: str, sites: list[Site], name: str) -> Iterator[Diagnostic]:
    """The sites whose field is not the one that most have; among equals, the oldest site is right."""
    values = {site.name: getattr(site.location, name) for site in sites}
    counts = Counter(values.values())
    if len(counts) == 1:
        return
    right = min(sites, key=lambda site: (-counts[values[site.name]], site.lifecycle.created, site.name))
    path = f"location.{name}"
    related = ((place(right.spans, path, right.span), f"{right.name} has {values[right.name]!r}"),)
    for site in sites:
        if values[site.name] != values[right.name]:
            message = (
                f"{name} {values[site.name]!r} differs from {values[right.name]!r} of {right.name}, also in metro "
                f"{metro}; make them equal"
            )
            yield METRO_TITLE.at(place(site.spans, path, site.span), message, related=related)


def _projects(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    known = {environment.project for environment in fleet.environments.values()}
    for site in fleet.sites.values():
        for machine in site.machines:
            if machine.project is None:
                continue
            span = place(site.spans, f"machines.{machine.name}.project", machine.span)
            default = addresses.default_project(site.name, machine.name)
            if machine.project != default and not machine.project_reason.strip():
                message = (
                    f"{machine.name} of {site.name} is in {machine.project}, by its name it would be in {default}; "
                    "add project_reason, or remove project"
                )
                yield PROJECT_TITLE.at(span, message)
            if machine.project not in known and not absent.any("environments"):
                message = f"project {machine.project} belongs to no environment; use {', '.join(sorted(known))}"
                yield PROJECT_TITLE.at(span, message)


METRO = Rule(
    METRO_TITLE.code,
    METRO_TITLE.name,
    "the metro is how the site's name begins, and sites of one metro have one location",
    "Locate and the published maps group sites by metro. City, state, country, continent and coordinates are those of "
    "the metro (its airport), not of the building, so all sites of a metro repeat them, "
    "but those that are retired or unlisted.",
    each=_metro_is_name,
    across=_metros_agree,
)
PROJECT = Rule(
    PROJECT_TITLE.code,
    PROJECT_TITLE.name,
    "a machine's project follows from its name, or the site says why not",
    "Machines of test sites (name ends in t) are in mlab-sandbox; elsewhere mlab1 to mlab3 are in mlab-oti and mlab4 "
    "in mlab-staging. Other programs have this rule built in, so an exception needs project and project_reason, and "
    "the project must be one of an environment.",
    across=_projects,
)
