"""W01 and W02: a file may break a rule if it says so with a reason, and what it says must be true.

A silence stands in the file that the problem is shown at: `allow: [{rule: S10, reason: …}]`. It holds for that file and
that rule alone, and one that silences nothing is a problem itself, or a fleet would fill up with permissions that
nobody remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from reconcilers.core.model import Diagnostic
from reconcilers.fleet.model import Fleet, Silence, items
from reconcilers.fleet.rules.rule import Rule, Title

UNUSED_TITLE = Title("W01", "allow.unused")
UNKNOWN_TITLE = Title("W02", "allow.unknown-rule")

UNUSED = Rule(
    UNUSED_TITLE.code,
    UNUSED_TITLE.name,
    "a rule that a file allows itself to break is broken in that file",
    "`allow` names a rule and the reason why it does not apply to the file. When the file keeps the rule, the entry is "
    "history and would hide the next mistake, so it has to go. Not judged: rules that could not be checked, because "
    "only some files were read, a file has errors, or git's history is missing.",
    allowable=False,
)
UNKNOWN = Rule(
    UNKNOWN_TITLE.code,
    UNKNOWN_TITLE.name,
    "`allow` names rules that exist and that a file may break",
    "Rules of the fleet can be allowed by code or by name. Problems of syntax and schema cannot: what is not read "
    "cannot be planned. Nor can rules on which the identity of objects rests.",
    allowable=False,
)


class Silences:
    """Every silence of a fleet, and which of them have silenced something so far."""

    def __init__(self, fleet: Fleet, rules: Iterable[Rule]) -> None:
        self._rules: Mapping[str, Rule] = {rule.code: rule for rule in rules}
        self._stated = [silence for item in items(fleet) for silence in item.allow]
        self._standing: dict[tuple[str, str], Silence] = {}
        self._twice: list[Silence] = []
        for silence in self._stated:
            rule = self._rules.get(silence.rule)
            if rule is None or not rule.allowable:
                continue
            key = (silence.span.file, silence.rule)
            if key in self._standing:
                self._twice.append(silence)
            self._standing.setdefault(key, silence)
        self._used: set[tuple[str, str]] = set()

    def keep(self, problems: Iterable[Diagnostic]) -> list[Diagnostic]:
        """The problems that no silence covers."""
        kept = []
        for problem in problems:
            key = (problem.span.file, problem.code)
            if key in self._standing:
                self._used.add(key)
            else:
                kept.append(problem)
        return kept

    def problems(self, judged: Callable[[Rule], bool]) -> Iterator[Diagnostic]:
        """What is wrong with the silences themselves; unused ones only of rules that were `judged` completely."""
        for silence in self._stated:
            rule = self._rules.get(silence.rule)
            if rule is None:
                message = f"no rule of the fleet is called {silence.rule}; `mlab explain` lists them"
                yield UNKNOWN_TITLE.at(silence.span, message)
            elif not rule.allowable:
                yield UNKNOWN_TITLE.at(silence.span, f"{rule.code} {rule.name} cannot be allowed; keep the rule")
        for silence in self._twice:
            yield UNUSED_TITLE.at(silence.span, f"{silence.rule} is allowed twice in this file; remove one")
        for key, silence in self._standing.items():
            if key not in self._used and judged(self._rules[silence.rule]):
                message = f"this file does not break {silence.rule} {self._rules[silence.rule].name}; remove the entry"
                yield UNUSED_TITLE.at(silence.span, message)
