"""S11 and S14: the days of a site's life are in order, its name is for good, and it drains before it goes."""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.model import Diagnostic
from reconcilers.fleet.model import Fleet, Site
from reconcilers.fleet.past import Times
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

DATES_TITLE = Title("S11", "site.lifecycle-dates")
DRAIN_TITLE = Title("S14", "site.drained-first")
SERVING = "active"
"""The state in which clients are sent to a site's machines."""


def _dates(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site in fleet.sites.values():
        created, retired = site.lifecycle.created, site.lifecycle.retired
        if retired is not None and retired < created:
            span = place(site.spans, "lifecycle.retired", site.span)
            where = place(site.spans, "lifecycle.created", site.span)
            message = f"{site.name} was retired {retired}, before it was created {created}; correct one of the days"
            yield DATES_TITLE.at(span, message, related=((where, "created then"),))


def _not_yet(fleet: Fleet, _absent: Absent, times: Times) -> Iterator[Diagnostic]:
    for site in fleet.sites.values():
        retired = site.lifecycle.retired
        if retired is not None and retired > times.today:
            span = place(site.spans, "lifecycle.retired", site.span)
            message = (
                f"{site.name} says that it was retired {retired}, and today is {times.today}; write the day on which "
                "it went, or the state that it is in until then"
            )
            yield DATES_TITLE.at(span, message)
    if times.past is not None:
        for name, earlier in times.past.earlier.items():
            present = fleet.sites.get(name)
            if present is not None and f"{present.lifecycle.created}" != earlier.created:
                span = place(present.spans, "name", present.span)
                message = (
                    f"{name} was another site, created {earlier.created} and removed in {earlier.commit}; names are "
                    "never used again: take the next number"
                )
                yield DATES_TITLE.at(span, message)


def _machines(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for site in fleet.sites.values():
        if not site.machines and site.lifecycle.state != "planned":
            span = place(site.spans, "machines", site.span)
            message = f"{site.name} is {site.lifecycle.state} and has no machine; add one, or make it planned"
            yield DRAIN_TITLE.at(span, message)


def _drained(fleet: Fleet, _absent: Absent, times: Times) -> Iterator[Diagnostic]:
    if times.past is None:
        return
    for name, before in times.past.before_retired.items():
        site: Site | None = fleet.sites.get(name)
        if site is not None and site.lifecycle.state == "retired" and before.state == SERVING:
            span = place(site.spans, "lifecycle.state", site.span)
            until = f"until {before.commit}" if before.commit else "in the last commit"
            message = (
                f"{name} was active {until} and is retired at once; make it lame-duck first, apply that, and retire it "
                "in a later change"
            )
            yield DRAIN_TITLE.at(span, message)


def _next_names(fleet: Fleet, _times: Times) -> Iterator[str]:
    """The next number of each metro that has sites."""
    highest: dict[str, int] = {}
    for name in fleet.sites:
        if name[3:].isdecimal():
            highest[name[:3]] = max(highest.get(name[:3], 0), int(name[3:]))
    yield "next names: " + (", ".join(f"{metro}{number + 1:02}" for metro, number in sorted(highest.items())) or "any")


DATES = Rule(
    DATES_TITLE.code,
    DATES_TITLE.name,
    "a site is created, then retired, not in the future; and its name is never used again",
    "Data is filed under a site's name for ever, so a new site with an old name would mix two places in every study. A "
    "name counts as used again when a file comes back that git once knew with another day of creation; bringing the "
    "same site back is fine. The day of retirement is when it happened: what is only intended is a state of its own "
    "(lame-duck). The part about names asks git's history.",
    each=_dates,
    over_time=_not_yet,
    needs_history=True,
    remedy=_next_names,
)
DRAIN = Rule(
    DRAIN_TITLE.code,
    DRAIN_TITLE.name,
    "a site in use has a machine, and passes lame-duck before it is retired",
    "In state lame-duck the machines stay published and may boot, but Locate sends nobody there, so that tests in "
    "progress end and monitoring stays quiet. Going from active to retired in one step cuts clients off. Git's history "
    "is asked for the last state of the file before it said retired, each merge counting as one step; a file that came "
    "in as retired has none. Only a planned site may have no machine.",
    each=_machines,
    over_time=_drained,
    needs_history=True,
)
