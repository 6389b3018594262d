"""E01: an experiment's index is its own, because it is an address on every machine."""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet import addresses
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

INDEX_TITLE = Title("E01", "experiment.index-unique")


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


def _remedy(fleet: Fleet) -> Iterator[str]:
    yield f"free indexes: {', '.join(map(str, _free(fleet))) or 'none'}"


INDEX = Rule(
    INDEX_TITLE.code,
    INDEX_TITLE.name,
    "no two experiments have one index",
    "The index (1 to 12) is added to the machine's address, so two experiments with one index would have one address. "
    "Another name for the same experiment is an alias in its file and shares the index. Experiments on the host "
    "network have none.",
    across=_unique,
    remedy=_remedy,
)
