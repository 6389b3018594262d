"""E02: what an experiment leaves on disk is known, and is moved on from where it lands."""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.model import Entity, Experiment, Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

DATA_TITLE = Title("E02", "experiment.data-path")
LANDING = "pusher-{project}"
"""The bucket that every node uploads into."""
BUNDLES = "autoload/v1"
"""Where bundles of autoloaded datatypes begin; archives begin with the experiment's name."""


def _datatypes(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    for experiment in fleet.experiments.values():
        for part, names in (("archived", experiment.archived), ("autoloaded", experiment.autoloaded)):
            for position, name in enumerate(names):
                span = place(experiment.spans, f"datatypes.{part}.{position}", experiment.span)
                datatype = fleet.datatypes.get(name)
                if datatype is None:
                    if not absent.has("datatypes", name):
                        message = f"datatype {name} of {experiment.name} does not exist"
                        yield DATA_TITLE.at(span, f"{message}; add config/datatypes/{name}.yaml")
                elif part == "autoloaded" and not datatype.data.get("schema"):
                    message = (
                        f"datatype {name} of {experiment.name} is loaded as it is, but says no columns; add schema to "
                        f"config/datatypes/{name}.yaml"
                    )
                    yield DATA_TITLE.at(span, message, related=((datatype.span, "no schema here"),))


def _needs(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Beginnings of the names of its objects, and the field that is behind each."""
    measures = (experiment.data.get("sidecars") or {}).get("measurement", False)
    if experiment.archived or measures:
        yield f"{experiment.name}/", "archived"
    if experiment.autoloaded:
        yield f"{BUNDLES}/{experiment.name}/", "autoloaded"


def _projects(experiment: Experiment) -> list[str]:
    """Where it runs, by one placement at least."""
    placements = experiment.data.get("placements") or ()
    found = {project for placement in placements for project in placement.get("projects", experiment.projects)}
    return sorted(found)


def _moved(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    landing = fleet.buckets.get(LANDING)
    if landing is None or absent.any("buckets"):
        return
    where = place(landing.spans, "transfers", landing.span)
    prefixes = [prefix for transfer in landing.data.get("transfers") or () for prefix in transfer["prefixes"]]
    for experiment in fleet.experiments.values():
        projects = [project for project in _projects(experiment) if project in landing.data.get("projects", [project])]
        for start, part in _needs(experiment):
            if projects and not any(start.startswith(f"{prefix}/") for prefix in prefixes):
                span = place(experiment.spans, f"datatypes.{part}", experiment.span)
                message = (
                    f"data of {experiment.name} lands under {start} and no transfer takes it on from there, in "
                    f"{', '.join(projects)}; add {start.rstrip('/')} to the prefixes in {landing.span.file}"
                )
                yield DATA_TITLE.at(span, message, related=((where, "the prefixes that are moved"),))
    yield from _targets(fleet, landing, where)


def _targets(fleet: Fleet, landing: Entity, where: Span) -> Iterator[Diagnostic]:
    for position, transfer in enumerate(landing.data.get("transfers") or ()):
        if transfer["to"] not in fleet.buckets:
            span = place(landing.spans, f"transfers.{position}.to", where)
            yield DATA_TITLE.at(span, f"{transfer['to']} is no bucket of config/buckets/; write one of those")


def _check(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    yield from _datatypes(fleet, absent)
    yield from _moved(fleet, absent)


DATA = Rule(
    DATA_TITLE.code,
    DATA_TITLE.name,
    "datatypes of experiments exist, autoloaded ones have columns, and all data is moved on from where it lands",
    "Nodes upload into pusher-PROJECT; a transfer takes from there what begins with one of its prefixes. An experiment "
    "that is missing in them uploads for years and nothing ever reaches the archive: its own archives and those of the "
    "sidecars begin with its name, bundles of autoloaded datatypes with autoload/v1. An autoloaded datatype becomes a "
    "table by the columns in its file. Looked at are experiments that run in a project whose landing bucket is ours.",
    across=_check,
)
