"""E01: an experiment's index is its own, because it is an address on every machine, and stays so for a while."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet import addresses
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.past import Times
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

INDEX_TITLE = Title("E01", "experiment.index-unique")
REST_DAYS = 90
"""Days for which a released index rests: clients and firewalls elsewhere go on knowing the address."""


def _free(fleet: Fleet) -> list[int]:
    used = {experiment.index for experiment in fleet.experiments.values()}
    return [index for index in range(1, addresses.MAX_INDEX + 1) if index not in used]


def _unique(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    first: dict[int, tuple[str, Span]] = {}
    for experiment in fleet.experiments.values():
        index = experiment.index
        if index is None:
            continue
        span = place(experiment.spans, "index", experiment.span)
        if index > addresses.MAX_INDEX or index < 1:
            yield INDEX_TITLE.at(span, f"index {index} of {experiment.name} is not in 1..{addresses.MAX_INDEX}")
        if index in first:
            owner, where = first[index]
            free = "" if absent.any("experiments") else ", ".join(map(str, _free(fleet))) or "none is free"
            hint = f"free indexes: {free}" if free else ""
            message = (
                f"index {index} of {experiment.name} is already {owner}'s; choose another one, or make it an alias"
            )
            yield INDEX_TITLE.at(span, message, related=((where, f"{owner} has {index}"),), hint=hint)
        first.setdefault(index, (experiment.name, span))


def _rested(fleet: Fleet, absent: Absent, times: Times) -> Iterator[Diagnostic]:
    if times.past is None:
        return
    holding = {(t.experiment, t.index): t.since for t in times.past.tenures if t.until is None}
    present = {experiment.name: experiment.index for experiment in fleet.experiments.values()}
    for experiment in fleet.experiments.values():
        if experiment.index is None:
            continue
        since = holding.get((experiment.name, experiment.index), times.today)
        for tenure in times.past.tenures:
            other = tenure.experiment
            if tenure.index != experiment.index or other == experiment.name:
                continue
            if tenure.until is None and (present.get(other) == tenure.index or absent.has("experiments", other)):
                continue
            until = tenure.until or times.today
            rested = (since - until).days
            if 0 <= rested < REST_DAYS:
                span = place(experiment.spans, "index", experiment.span)
                when = f"on {until} in {tenure.ended_in}" if tenure.ended_in else "only now"
                message = (
                    f"index {experiment.index} of {experiment.name} was {other}'s, which released it {when}; an index "
                    f"rests for {REST_DAYS} days, so choose another one, or wait until "
                    f"{until + timedelta(days=REST_DAYS)}"
                )
                yield INDEX_TITLE.at(span, message, hint=_hint(fleet))


def _hint(fleet: Fleet) -> str:
    return f"free indexes: {', '.join(map(str, _free(fleet))) or 'none'}"


def _remedy(fleet: Fleet, times: Times) -> Iterator[str]:
    """What no experiment has, but for what rests; and until when that does."""
    resting: dict[int, date] = {}
    for tenure in times.past.tenures if times.past else ():
        if tenure.until is not None and tenure.until + timedelta(days=REST_DAYS) > times.today:
            until = tenure.until + timedelta(days=REST_DAYS)
            resting[tenure.index] = max(until, resting.get(tenure.index, until))
    free = _free(fleet)
    yield f"free indexes: {', '.join(str(index) for index in free if index not in resting) or 'none'}"
    for index in free:
        if index in resting:
            yield f"index {index} rests until {resting[index]}"


INDEX = Rule(
    INDEX_TITLE.code,
    INDEX_TITLE.name,
    f"no two experiments have one index, nor one that another released less than {REST_DAYS} days before",
    "The index (1 to 12) is added to the machine's address, so two experiments with one index would have one address. "
    "Another name for the same experiment is an alias in its file and shares the index. Experiments on the host "
    "network have none. A released index rests, because its old addresses are still in clients' caches, firewalls and "
    "other people's lists; when it was released and taken is looked up in git, and what is not committed counts as "
    "today. `mlab explain E01` names the indexes that no experiment has.",
    across=_unique,
    over_time=_rested,
    needs_history=True,
    remedy=_remedy,
)
