"""What a code or a rule's name means, at length, with what the fleet at hand says about the remedy."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from reconcilers.core.errors import UsageError
from reconcilers.fleet import rules
from reconcilers.fleet.model import Fleet
from reconcilers.fleet.rules.rule import Rule
from reconcilers.load import codes


@dataclass(frozen=True, slots=True)
class Explanation:
    """One rule for a reader; `remedies` are values that the fleet leaves free, where a fleet was given."""

    code: str
    name: str
    summary: str
    detail: str
    remedies: tuple[str, ...] = ()

    def text(self) -> str:
        """The explanation as text for a terminal, wrapped."""
        lines = [
            f"{self.code} {self.name}: {self.summary}",
            "",
            *textwrap.wrap(self.detail, 100, break_on_hyphens=False),
        ]
        return "\n".join([*lines, "", *self.remedies] if self.remedies else lines)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "code": self.code,
            "id": self.name,
            "summary": self.summary,
            "text": self.detail,
            "remedies": list(self.remedies),
        }


def explain(rule: str, fleet: Fleet | None = None) -> Explanation:
    """By code (`S02`) or name (`site.prefix-overlap`), in any case. Raises `UsageError` with what is near."""
    wanted = rule.strip().lower()
    for item in known():
        if wanted in (item.code.lower(), item.name):
            remedies: Iterable[str] = item.remedy(fleet) if isinstance(item, Rule) and fleet is not None else ()
            return Explanation(item.code, item.name, item.summary, item.text, tuple(remedies))
    names = [name for item in known() for name in (item.code.lower(), item.name)]
    near = difflib.get_close_matches(wanted, names, 3, 0.5)
    step = f"did you mean {' or '.join(near)}?" if near else "`mlab explain` alone lists all"
    raise UsageError(f"no rule has the code or name {rule!r}; {step}")


def known() -> Iterator[codes.Code | Rule]:
    """Everything that can be explained: problems of files first, then the rules of the fleet."""
    yield from codes.ALL
    yield from rules.ALL
