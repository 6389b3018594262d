"""Divides the changes of a scope into transactions.

What one file in git wants of one zone stays together, so that a site appears and goes as a whole, and each list of
ours is written once; several files share a transaction while it may hold them. All types of one name are in the same
one: an address replaces an alias in one step, and a name never answers for one address family only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconcilers.core.model import Action, Change
from reconcilers.providers.dns import marks, records
from reconcilers.providers.dns.records import Limits

_RECORD_BYTES = 12
"""What a record takes in a message besides its name and value."""
_LOCK = 1_200
"""Bytes of the lock's record, before and after."""
_HEADER = 700
"""Bytes of what a list says besides names, before and after."""


@dataclass(slots=True)
class Cost:
    """Of a transaction, estimated from above."""

    additions: int = 0
    deletions: int = 0
    size_bytes: int = 0

    def plus(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(
            self.additions + other.additions,
            self.deletions + other.deletions,
            self.size_bytes + other.size_bytes,
        )

    def within(self, limits: Limits) -> bool:
        """Whether one transaction may hold it."""
        return (
            self.additions <= limits.additions
            and self.deletions <= limits.deletions
            and self.size_bytes <= limits.size_bytes
        )


def batches(
    changes: Sequence[Change], deletions: Sequence[Change], live: Mapping[str, marks.Live], limits: Limits
) -> list[list[Change]]:
    """All changes, in order of zone, file and name; of the deletions those whose alias or addresses are in the way."""
    sources: dict[str, str] = {}
    for change in changes:
        sources.setdefault(change.id.name, _source(change))
    together = [*changes, *_in_the_way(changes, deletions)]
    ordered = sorted(together, key=lambda change: (_zone(change), sources[change.id.name], change.id.name))
    made: list[list[Change]] = []
    for zone, of_zone in itertools.groupby(ordered, _zone):
        files = itertools.groupby(of_zone, lambda change: sources[change.id.name])
        made += _of_zone([list(group) for _, group in files], live.get(zone), limits)
    return made


def _of_zone(files: Sequence[list[Change]], live: marks.Live | None, limits: Limits) -> Iterator[list[Change]]:
    open_lists = _open_lists(live)
    current = _Transaction(live, open_lists, limits)
    for group in files:
        if current.take(group):
            continue
        if current.changes:
            yield current.changes
            current = _Transaction(live, open_lists, limits)
        if current.take(group):
            continue
        for _, named in itertools.groupby(group, lambda change: change.id.name):
            unit = list(named)
            if not current.take(unit):
                if current.changes:
                    yield current.changes
                current = _Transaction(live, open_lists, limits)
                # What belongs together is written together, or refused by the server.
                current.take(unit, anyhow=True)
    if current.changes:
        yield current.changes


class _Transaction:
    """What is in one so far, and what it takes: with the lock, and with the lists that its changes touch."""

    def __init__(self, live: marks.Live | None, open_lists: Mapping[str, str], limits: Limits) -> None:
        self.changes: list[Change] = []
        self._live, self._open_lists, self._limits = live, open_lists, limits
        # A twentieth is left for lists: one of them names some hundreds of record sets.
        self._cost = Cost(1 + limits.additions // 20, 1 + limits.deletions // 20, _LOCK)
        self._lists: frozenset[str] = frozenset()

    def take(self, changes: Sequence[Change], *, anyhow: bool = False) -> bool:
        """Take all of them in, if the limits permit."""
        cost, lists = self._cost, set(self._lists)
        for change in changes:
            cost = cost.plus(_cost(change))
            for name in self._lists_of(change) - lists:
                lists.add(name)
                size = marks.size_bytes(self._live, name) if self._live is not None else 0
                cost = cost.plus(Cost(1, 1, 2 * size + _HEADER))
        if not anyhow and not cost.within(self._limits):
            return False
        self.changes += changes
        self._cost, self._lists = cost, frozenset(lists)
        return True

    def _lists_of(self, change: Change) -> set[str]:
        """The list that names it, and one of the file that wants it."""
        found = set()
        if self._live is not None:
            _, key = records.place(change.id)
            if key in self._live.listed:
                found.add(self._live.listed[key])
        if change.desired is not None:
            file = change.desired.span.file
            found.add(self._open_lists.get(file, file))
        return found


def _open_lists(live: marks.Live | None) -> Mapping[str, str]:
    """For each file the name of the list that the next entry goes to."""
    if live is None:
        return {}
    by_size = sorted(live.lists, key=lambda name: marks.size_bytes(live, name), reverse=True)
    return {live.lists[name].owner.source: name for name in by_size}


def _in_the_way(changes: Sequence[Change], deletions: Sequence[Change]) -> list[Change]:
    kinds: dict[str, set[str]] = {}
    for change in changes:
        if change.action is not Action.DELETE:
            kinds.setdefault(change.id.name, set()).add(change.id.kind)
    return [
        gone
        for gone in deletions
        if any((kind == "CNAME") != (gone.id.kind == "CNAME") for kind in kinds.get(gone.id.name, ()))
    ]


def _cost(change: Change) -> Cost:
    """A condition for each value that is there or one for none, a removal, an addition for each value that comes.

    Names are counted whole, as if a message did not compress them.
    """
    before = change.observed.spec["rrdatas"] if change.observed is not None else ()
    after = change.desired.spec["rrdatas"] if change.desired is not None else ()
    listed = len(change.id.name)
    name = listed + _RECORD_BYTES
    count = max(1, len(before)) + (len(before) > 0) + len(after)
    return Cost(len(after) > 0, len(before) > 0, listed + count * name + sum(map(len, (*before, *after))))


def _zone(change: Change) -> str:
    return change.id.name.partition("/")[0]


def _source(change: Change) -> str:
    if change.desired is not None:
        return change.desired.span.file
    owner = change.observed.owner if change.observed is not None else None
    return owner.source if owner is not None else ""
