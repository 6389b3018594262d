"""What a rule is: a pure function over the fleet, with the words that explain it.

A rule has a part that looks at one object at a time, a part that compares objects, and a part that compares the fleet
with the day it is and with its past; what it does not need is empty. Objects that failed an earlier layer are not in
the fleet; `Absent` names them, so that nobody is told that a thing is missing when its file merely has a typing error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from reconcilers.core.model import Diagnostic, Span
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.past import Times


@dataclass(frozen=True, slots=True)
class Absent:
    """Names of objects that exist in git but are left out, by folder of config/ (`datatypes`)."""

    names: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def has(self, folder: str, name: str) -> bool:
        """Whether a name may belong to a file that failed."""
        return name in self.names.get(folder, frozenset())

    def any(self, folder: str) -> bool:
        """Whether some file of a folder failed, so that its names are not all known."""
        return bool(self.names.get(folder))


Check = Callable[[Fleet, Absent], Iterable[Diagnostic]]
CheckOverTime = Callable[[Fleet, Absent, Times], Iterable[Diagnostic]]
Remedy = Callable[[Fleet, Times], Iterable[str]]


def nothing(_fleet: Fleet, _absent: Absent) -> Iterable[Diagnostic]:
    """The part that a rule does not have."""
    return ()


def timeless(_fleet: Fleet, _absent: Absent, _times: Times) -> Iterable[Diagnostic]:
    """The part of a rule that does not look at the time."""
    return ()


def no_remedy(_fleet: Fleet, _times: Times) -> Iterable[str]:
    """A rule whose remedy cannot be computed."""
    return ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `code` and `name` are for good; `text` is for `mlab explain`; `remedy` proposes values.

    A new rule begins as a warning: before the day `error_from` it stops nobody, so that a fleet has time to follow.
    `needs_history` says that a part of it, `over_time`, asks git. `allowable` is False for the few rules that no file
    may break, whatever its reason.
    """

    code: str
    name: str
    summary: str
    text: str
    each: Check = nothing
    across: Check = nothing
    remedy: Remedy = no_remedy
    over_time: CheckOverTime = timeless
    needs_history: bool = False
    error_from: date | None = None
    allowable: bool = True


@dataclass(frozen=True, slots=True)
class Title:
    """Code and name of a rule, for the functions that make its diagnostics before the rule itself is put together."""

    code: str
    name: str

    def at(
        self,
        span: Span,
        message: str,
        *,
        related: tuple[tuple[Span, str], ...] = (),
        hint: str = "",
        severity: str = "error",
    ) -> Diagnostic:
        """A diagnostic of this rule."""
        return Diagnostic(self.code, self.name, message, span, severity=severity, related=related, hint=hint)


def place(spans: Mapping[str, Span], path: str, fallback: Span) -> Span:
    """Where a field stands, or its object where the field is left out."""
    return spans.get(path, fallback)
