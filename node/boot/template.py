"""The part of Go's text/template that action documents use. Pure.

    {{kargs `epoxy.hostname`}}   a key of the kernel command line; nothing if it is not there
    {{.vars.args}}  {{.files.kernel.name}}   what the document made before; `<no value>` if it did not
    {{"text"}}  {{"epoxy.ip" | kargs}}  {{kargs (.vars.key)}}  {{/* a comment */}}  {{- both trims -}}

Everything else (conditions, loops, variables, other functions) is an error that names it. A text is evaluated once:
the original evaluated some a second time, so that a value from the command line that looks like a template was run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from node.boot.errors import BadDocument

NO_VALUE = "<no value>"
_ACTION = re.compile(r"\{\{")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<raw>`[^`]*`)
    | (?P<quoted>"(?:[^"\\\n]|\\.)*")
    | (?P<field>(?:\.[A-Za-z_]\w*)+)
    | (?P<name>[A-Za-z_]\w*)(?![\w."`])
    | (?P<mark>[|()])
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.))", re.DOTALL)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_MAX_DEPTH = 20

Token = tuple[str, str]


def render(text: str, kargs: Mapping[str, str], data: Mapping[str, Any]) -> str:
    """The text with every action replaced. Raises `BadDocument` for anything that is not listed above."""
    made: list[str] = []
    position, trim = 0, False
    while True:
        found = _ACTION.search(text, position)
        plain = text[position : found.start() if found else len(text)]
        if trim:
            plain = plain.lstrip()
        if found is None:
            made.append(plain)
            return "".join(made)
        start = found.end()
        if text[start : start + 1] == "-" and text[start + 1 : start + 2].isspace():
            plain, start = plain.rstrip(), start + 1
        made.append(plain)
        value, position, trim = _action(text, start, kargs, data)
        made.append(value)


def _action(text: str, start: int, kargs: Mapping[str, str], data: Mapping[str, Any]) -> tuple[str, int, bool]:
    """Value of the action whose inside starts here, the place after it, and whether it trims what follows."""
    comment = _COMMENT.match(text, start + len(text[start:]) - len(text[start:].lstrip()))
    tokens, position = ([], comment.end()) if comment else _tokens(text, start)
    rest = text[position:]
    blank = len(rest) - len(rest.lstrip())
    trim = blank > 0 and rest[blank : blank + 3] == "-}}"
    close = position + blank + (1 if trim else 0)
    if text[close : close + 2] != "}}":
        raise BadDocument(f"template {_short(text)}: {_short(text[close : close + 20])} is not understood here")
    if comment:
        return "", close + 2, trim
    if not tokens:
        raise BadDocument(f"template {_short(text)}: an empty {{{{}}}}")
    value, used = _pipeline(text, tokens, 0, kargs, data)
    if used != len(tokens):
        raise BadDocument(f"template {_short(text)}: {_short(tokens[used][1])} is not understood here")
    return value, close + 2, trim


def _tokens(text: str, position: int) -> tuple[list[Token], int]:
    found: list[Token] = []
    while (match := _TOKEN.match(text, position)) is not None:
        assert match.lastgroup is not None
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found, position


def _pipeline(
    text: str, tokens: list[Token], at: int, kargs: Mapping[str, str], data: Mapping[str, Any], depth: int = 0
) -> tuple[str, int]:
    """Value of `operand | kargs | …` and the index of the first token that does not belong to it."""
    value, at = _command(text, tokens, at, kargs, data, depth)
    while at < len(tokens) and tokens[at] == ("mark", "|"):
        if tokens[at + 1 : at + 2] != [("name", "kargs")]:
            raise BadDocument(f"template {_short(text)}: only kargs may follow |")
        value, at = kargs.get(value, ""), at + 2
    return value, at


def _command(
    text: str, tokens: list[Token], at: int, kargs: Mapping[str, str], data: Mapping[str, Any], depth: int
) -> tuple[str, int]:
    if at >= len(tokens) or depth > _MAX_DEPTH:
        raise BadDocument(f"template {_short(text)}: " + ("too deep" if depth > _MAX_DEPTH else "a value is missing"))
    kind, word = tokens[at]
    if kind == "raw":
        return word[1:-1].replace("\r", ""), at + 1
    if kind == "quoted":
        return _unquoted(text, word), at + 1
    if kind == "field":
        return _field(text, word, data), at + 1
    if (kind, word) == ("mark", "("):
        value, at = _pipeline(text, tokens, at + 1, kargs, data, depth + 1)
        if tokens[at : at + 1] != [("mark", ")")]:
            raise BadDocument(f"template {_short(text)}: a ) is missing")
        return value, at + 1
    if (kind, word) == ("name", "kargs"):
        if at + 1 < len(tokens) and tokens[at + 1][0] == "name":
            raise BadDocument(f"template {_short(text)}: kargs wants one quoted key")
        key, end = _command(text, tokens, at + 1, kargs, data, depth + 1)
        if tokens[at + 1][0] == "field" and key == NO_VALUE:
            raise BadDocument(f"template {_short(text)}: kargs of {tokens[at + 1][1]}, which has no value")
        return kargs.get(key, ""), end
    what = "function" if kind == "name" else "sign"
    raise BadDocument(f"template {_short(text)}: {what} {_short(word)} is not known; kargs is the only function")


def _field(text: str, path: str, data: Mapping[str, Any]) -> str:
    value: Any = data
    for key in path[1:].split("."):
        if not isinstance(value, Mapping):
            raise BadDocument(f"template {_short(text)}: {path}: a text has no {key}")
        value = value.get(key)
        if value is None:
            return NO_VALUE
    if isinstance(value, str):
        return value
    raise BadDocument(f"template {_short(text)}: {path} is a table, not a text; name one of {', '.join(sorted(value))}")


def _unquoted(text: str, word: str) -> str:
    def one(match: re.Match[str]) -> str:
        for index, base in ((1, 16), (2, 16), (3, 16), (4, 8)):
            if match[index] is not None:
                code = int(match[index], base)
                if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                    break
                return chr(code)
        else:
            if match[5] in _PLAIN:
                return _PLAIN[match[5]]
        raise BadDocument(f"template {_short(text)}: escape {match[0]} is not known")

    return _ESCAPE.sub(one, word[1:-1])


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
