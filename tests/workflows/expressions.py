"""GitHub's expressions as far as our workflows use them: values by path, comparisons, and, or, not, two functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<op>==|!=|&&|\|\||[!(),])|(?P<name>[A-Za-z_][\w.-]*(?:\[\d+\][\w.-]*)*))"
)
_INSIDE = re.compile(r"\$\{\{(.*?)\}\}", re.S)


def filled(text: str, context: Mapping[str, Any]) -> str:
    """A text with its expressions replaced by their values."""
    return _INSIDE.sub(lambda found: _shown(evaluate(found[1], context)), text)


def truth(value: Any) -> bool:
    """What counts as true in a condition."""
    return value not in (None, False, "", 0)


def evaluate(expression: str, context: Mapping[str, Any]) -> Any:
    """The value of an expression, with or without `${{ }}` around it."""
    whole = _INSIDE.fullmatch(expression.strip())
    parser = _Parser(whole[1] if whole else expression, context)
    value = parser.either()
    assert parser.next == "", f"{expression}: not understood from {parser.next!r} on"
    return value


def _shown(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class _Parser:
    """Recursive descent over the tokens; `&&` and `||` give a side's value, as GitHub's do."""

    def __init__(self, text: str, context: Mapping[str, Any]) -> None:
        self._text, self._context = text.strip(), context
        self.next = ""
        self._advance()

    def _advance(self) -> str:
        former = self.next
        if not self._text:
            self.next = ""
            return former
        found = _TOKEN.match(self._text)
        assert found, f"not understood: {self._text!r}"
        self.next = found[0].strip()
        self._text = self._text[found.end() :].strip()
        return former

    def either(self) -> Any:
        value = self._both()
        while self.next == "||":
            self._advance()
            other = self._both()
            value = value if truth(value) else other
        return value

    def _both(self) -> Any:
        value = self._compared()
        while self.next == "&&":
            self._advance()
            other = self._compared()
            value = other if truth(value) else value
        return value

    def _compared(self) -> Any:
        value = self._one()
        if self.next in ("==", "!="):
            equal = self._advance() == "=="
            return (value == self._one()) is equal
        return value

    def _one(self) -> Any:
        token = self._advance()
        if token == "!":
            return not truth(self._one())
        if token == "(":
            value = self.either()
            assert self._advance() == ")"
            return value
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self.next == "(":
            return self._call(token)
        return self._path(token)

    def _call(self, name: str) -> Any:
        self._advance()
        while self.next != ")":
            self._advance()
        self._advance()
        return {"cancelled": False, "always": True, "failure": self._context.get("failed"), "hashFiles": "digest"}[name]

    def _path(self, token: str) -> Any:
        value: Any = self._context
        for step in re.findall(r"[\w-]+", token):
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, list):
                value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
            else:
                return None
        return value
