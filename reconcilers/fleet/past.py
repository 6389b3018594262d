"""What git remembers of the fleet, as far as rules ask: plain values, so that the rules stay pure.

Read by `reconcilers.load.past`. All of it is history as the main line saw it: a merge is one step, so that two states
which came in together do not count as one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class SiteVersion:
    """What a site's file said in a commit; `created` as it was written, for an old file need not be valid."""

    commit: str
    state: str
    created: str


@dataclass(frozen=True, slots=True)
class Tenure:
    """The days on which an experiment held an index; `until` is None while the checked-out commit has it so."""

    experiment: str
    index: int
    since: date
    until: date | None
    ended_in: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """What the rules look up.

    `before_retired`: the last version of a site's file that did not say retired, of sites that say so now.
    `earlier`: sites whose file was removed once and is there again, as it was before its last removal.
    `tenures`: who held which index when. `lost`: embargo rules whose file the last commit or its parent had and that
    is there no more, with the commit that removed it or `""`.
    """

    before_retired: Mapping[str, SiteVersion] = field(default_factory=dict)
    earlier: Mapping[str, SiteVersion] = field(default_factory=dict)
    tenures: tuple[Tenure, ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Times:
    """The day it is, and the past if there is one: None without full history, or where only some files are read."""

    today: date
    past: Past | None = None
