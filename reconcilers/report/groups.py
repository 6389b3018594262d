"""Many changes of one sort as a line for each file that caused them: a zone has 28,709 records, a reader has a screen.

A change that is one of a few stands alone. Nothing is hidden: the sums of a listing are those of the plan, and a
complete list is asked for with `-v` or `--json`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reconcilers.core.model import Action, Change
from reconcilers.report import values

MANY = 24
"""As many changes of one action are listed one by one in a scope; more are summed up by file."""
FILES = 12
"""As many files are listed for one action and one verdict; the rest is summed up in one line."""


@dataclass(frozen=True, slots=True)
class Group:
    """Changes of one action that agree in cause, risk, verdict and file; `changes` has at least one."""

    changes: tuple[Change, ...]

    @property
    def first(self) -> Change:
        """Speaks for all but for its id."""
        return self.changes[0]

    @property
    def kinds(self) -> str:
        """`125 A, 120 AAAA`."""
        return counted(self.changes)

    def fields(self) -> Iterator[str]:
        """What changes, if it is the same everywhere; else the first one's as an example."""
        if self.first.observed is None or self.first.desired is None:
            return
        shown = [tuple(line for field in change.fields for line in values.lines(field)) for change in self.changes]
        if len(set(shown)) > 1:
            yield f"for example {self.first.id.name}:"
        yield from shown[0]


@dataclass(frozen=True, slots=True)
class Rest:
    """The files that are not listed; all of their changes are blocked for this reason, or none is."""

    action: Action
    files: int
    changes: tuple[Change, ...]
    blocked: str | None = None


def listing(planned: Sequence[Change]) -> Iterator[Change | Group | Rest]:
    """The changes of a scope in their order, groups where their first one stands, rests at the end."""
    number = Counter(change.action for change in planned)
    grouped: dict[tuple[object, ...], list[Change]] = defaultdict(list)
    for change in planned:
        if number[change.action] > MANY:
            grouped[_key(change)].append(change)
    listed: Counter[Verdict] = Counter()
    done: set[tuple[object, ...]] = set()
    left: dict[Verdict, list[Change]] = defaultdict(list)
    for change in planned:
        if number[change.action] <= MANY:
            yield change
            continue
        key, verdict = _key(change), (change.action, change.blocked)
        if key in done:
            continue
        done.add(key)
        listed[verdict] += 1
        if listed[verdict] <= FILES:
            yield Group(tuple(grouped[key]))
        else:
            left[verdict] += grouped[key]
    for (action, blocked), changes in left.items():
        yield Rest(action, len({change.source.file for change in changes}), tuple(changes), blocked)


Verdict = tuple[Action, str | None]
"""An action and why it may not be carried out."""


def counted(changes: Sequence[Change]) -> str:
    """How many of each kind."""
    return ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(change.id.kind for change in changes).items()))


def _key(change: Change) -> tuple[object, ...]:
    return (
        change.action,
        change.source.file,
        change.removed_in,
        change.risk,
        change.cause,
        change.reason,
        change.blocked,
        change.ack,
    )
