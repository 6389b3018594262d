"""M01: an embargo holds existing data back for at most a year, one rule alone decides, and none is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.model import Entity, Fleet
from reconcilers.fleet.past import Times
from reconcilers.fleet.rules.rule import Absent, Rule, Title, place

EMBARGO_TITLE = Title("M01", "embargo.consistent")
STANDARD = ("tcpinfo", "pcap", "scamper1", "hopannotation2", "annotation2")
"""Datatypes that the sidecars of every experiment produce."""
YEAR_DAYS, LEAP_DAYS = 365, 366
"""One year after the collection date; it has 366 days only if a 29th of February is in it."""
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
    for rule, days in _periods(fleet):
        if not 1 <= days <= LEAP_DAYS:
            span = place(rule.spans, "period", rule.span)
            message = f"period {days}d of {rule.name} is not within a year; write 1d to {YEAR_DAYS}d"
            yield EMBARGO_TITLE.at(span, message)


def _periods(fleet: Fleet) -> Iterator[tuple[Entity, int]]:
    for rule in fleet.embargo.values():
        match = _PERIOD.match(str(rule.data.get("period", "")))
        if match:
            yield rule, int(match[1])


def year_after(day: date) -> int:
    """The days from one day to the same day of the next year; the last of February stays the last."""
    following = date(day.year + 1, 3, 1) - timedelta(days=1) if (day.month, day.day) == (2, 29) else None
    return ((following or day.replace(year=day.year + 1)) - day).days


def _leap(fleet: Fleet, _absent: Absent, times: Times) -> Iterator[Diagnostic]:
    """A period of 366 days is a year only for what is collected in the year before a 29th of February."""
    for rule, days in _periods(fleet):
        if days != LEAP_DAYS or rule.data.get("state") != "active":
            continue
        first, last = times.today, _day(rule.data.get("expires")) or times.today
        if last < first:
            continue
        if last - first >= timedelta(days=YEAR_DAYS) or year_after(first) < days or year_after(last) < days:
            span = place(rule.spans, "period", rule.span)
            message = (
                f"period {days}d of {rule.name} is more than a year for some of what is collected from {first} to "
                f"{last}, when it expires; write {YEAR_DAYS}d"
            )
            yield EMBARGO_TITLE.at(span, message)


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return None


def _kept(fleet: Fleet, absent: Absent, times: Times) -> Iterator[Diagnostic]:
    for name, commit in (times.past.lost if times.past else {}).items():
        if name not in fleet.embargo and not absent.has("embargo", name):
            when = f"removed in {commit}" if commit else "gone"
            message = (
                f"the file of embargo rule {name} is {when}; bring it back with state: lifted, for it says why data "
                "was held back and when that ended"
            )
            yield EMBARGO_TITLE.at(Span(f"config/embargo/{name}.yaml"), message)


def _expired(fleet: Fleet, _absent: Absent, times: Times) -> Iterator[Diagnostic]:
    for rule in fleet.embargo.values():
        day = _day(rule.data.get("expires"))
        if rule.data.get("state") == "active" and day is not None and day < times.today:
            span = place(rule.spans, "expires", rule.span)
            message = f"{rule.name} expired {day} and is active; confirm it with a later day, or lift it"
            yield EMBARGO_TITLE.at(span, message, severity="warning")


def _over_time(fleet: Fleet, absent: Absent, times: Times) -> Iterator[Diagnostic]:
    yield from _leap(fleet, absent, times)
    yield from _expired(fleet, absent, times)
    yield from _kept(fleet, absent, times)


EMBARGO = Rule(
    EMBARGO_TITLE.code,
    EMBARGO_TITLE.name,
    "embargo rules name existing datatypes, end within a year, and do not contradict each other",
    "Data is public at most one year after it was collected. A datatype exists if config/datatypes/ has it or if every "
    "experiment produces it (tcpinfo, pcap, scamper1, hopannotation2, annotation2). Two active rules for one datatype "
    "would disagree about what is held back. A period of 366 days is a year only if the 29th of February lies in it "
    "for everything that is collected from today until the rule expires; an active rule that has expired is a warning. "
    "A lifted rule stays in git as the record of what was embargoed; a file that vanished with the last commit has to "
    "come back.",
    each=_period,
    across=_check,
    over_time=_over_time,
    needs_history=True,
)
