"""M01: an embargo holds existing data back for at most a year, and one rule alone decides."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

EMBARGO_TITLE = Title("M01", "embargo.consistent")
STANDARD = ("tcpinfo", "pcap", "scamper1", "hopannotation2", "annotation2")
"""Datatypes that the sidecars of every experiment produce."""
MAX_DAYS = 366
"""One year after the collection date; 366 days are a year only across a leap day."""
_PERIOD = re.compile(r"([0-9]+)d\Z")


def _known(fleet: Fleet) -> set[str]:
    return set(fleet.datatypes) | set(STANDARD)


def _check(fleet: Fleet, absent: Absent) -> Iterator[Diagnostic]:
    known = _known(fleet)
    first: dict[str, tuple[str, Span]] = {}
    for rule in fleet.embargo.values():
        for position, datatype in enumerate(rule.data.get("datatypes") or ()):
            span = place(rule.spans, f"datatypes.{position}", rule.span)
            if datatype not in known and not absent.has("datatypes", datatype):
                message = f"datatype {datatype} of {rule.name} does not exist; add config/datatypes/{datatype}.yaml"
                yield EMBARGO_TITLE.at(span, message)
            if rule.data.get("state") != "active":
                continue
            if datatype in first:
                owner, where = first[datatype]
                message = f"datatype {datatype} is already embargoed by {owner}; keep one active rule per datatype"
                yield EMBARGO_TITLE.at(span, message, related=((where, f"active in {owner}"),))
            first.setdefault(datatype, (rule.name, span))


def _period(fleet: Fleet, _absent: Absent) -> Iterator[Diagnostic]:
    for rule in fleet.embargo.values():
        match = _PERIOD.match(str(rule.data.get("period", "")))
        if match and not 1 <= int(match[1]) <= MAX_DAYS:
            span = place(rule.spans, "period", rule.span)
            yield EMBARGO_TITLE.at(span, f"period {match[0]} of {rule.name} is not within 1d..{MAX_DAYS}d, one year")


EMBARGO = Rule(
    EMBARGO_TITLE.code,
    EMBARGO_TITLE.name,
    "embargo rules name existing datatypes, end within a year, and do not contradict each other",
    "Data is public at most one year after it was collected. A datatype exists if config/datatypes/ has it or if every "
    "experiment produces it (tcpinfo, pcap, scamper1, hopannotation2, annotation2). Two active rules for one datatype "
    "would disagree about what is held back. A lifted rule stays in git as the record of what was embargoed.",
    each=_period,
    across=_check,
)
