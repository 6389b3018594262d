"""What a code or a rule's name means, at length, with what the fleet at hand says about the remedy."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconcilers.core.errors import UsageError
from reconcilers.fleet import rules
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.past import Times
from reconcilers.fleet.rules.rule import Rule
from reconcilers.load import codes


@dataclass(frozen=True, slots=True)
class Explanation:
    """One rule for a reader; `remedies` are values that the fleet leaves free, where a fleet was given.

    `facts` say in a few words whether it can be allowed, asks git, and from which day it is an error.
    """

    code: str
    name: str
    summary: str
    detail: str
    facts: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()

    def text(self) -> str:
        """The explanation as text for a terminal, wrapped."""
        wrapped = textwrap.wrap(self.detail, 100, break_on_hyphens=False)
        lines = [f"{self.code} {self.name}: {self.summary}", "", *wrapped]
        for more in (self.facts, self.remedies):
            lines += ["", *more] if more else []
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "code": self.code,
            "id": self.name,
            "summary": self.summary,
            "text": self.detail,
            "facts": list(self.facts),
            "remedies": list(self.remedies),
        }


def explain(rule: str, fleet: Fleet | None = None, times: Times | None = None) -> Explanation:
    """By code (`S02`) or name (`site.prefix-overlap`), in any case. Raises `UsageError` with what is near."""
    wanted = rule.strip().lower()
    for item in known():
        if wanted in (item.code.lower(), item.name):
            remedies: Iterable[str] = ()
            if isinstance(item, Rule) and fleet is not None:
                remedies = item.remedy(fleet, times or Times(datetime.now(UTC).date()))
            return Explanation(item.code, item.name, item.summary, item.text, tuple(facts(item)), tuple(remedies))
    names = [name for item in known() for name in (item.code.lower(), item.name)]
    near = difflib.get_close_matches(wanted, names, 3, 0.5)
    step = f"did you mean {' or '.join(near)}?" if near else "`mlab explain` alone lists all"
    raise UsageError(f"no rule has the code or name {rule!r}; {step}")


def facts(item: codes.Code | Rule) -> Iterator[str]:
    """What a reader must know besides what the rule demands, a line each."""
    if not isinstance(item, Rule):
        return
    if item.allowable:
        yield f"A file may say why it breaks this rule: allow: [{{rule: {item.code}, reason: …}}]."
    else:
        yield "No file may break this rule."
    if item.needs_history:
        yield "A part of it asks git's history."
    if item.error_from is not None:
        yield f"It is a warning until {item.error_from}, from when on it is an error."


def known() -> Iterator[codes.Code | Rule]:
    """Everything that can be explained: problems of files first, then the rules of the fleet."""
    yield from codes.ALL
    yield from rules.ALL
