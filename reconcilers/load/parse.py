"""YAML into plain values with places: 1.2-safe, JSON-shaped, and closed to everything that YAML can do beyond that.

Built on the events of PyYAML's C parser rather than on its loader: one pass finds duplicate keys, anchors, tags,
ambiguous scalars and a second document, all of them and not only the first, and nothing is ever expanded or built
that the file does not spell out. Only a syntax error ends a file early.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from reconcilers.core.errors import one_line
from reconcilers.core.model import Diagnostic, Span
from reconcilers.load import codes, scalars
from reconcilers.load.document import Document, Event, Node

MAX_DEPTH = 32
MAX_PROBLEMS = 20
"""Problems reported for one file; a generated mess is one line more, not thousands."""

_BAD_CHARACTER = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LONE_CR = re.compile("\r(?!\n)")
_ADVICE = (
    ("found a tab", "a tab cannot indent YAML; use spaces"),
    ("mapping values are not allowed", "a ':' cannot stand here; quote the value, or check the indentation"),
    ("could not find expected ':'", "this line has no 'key: value'; add ': ' or check the quotes above"),
    ("unexpected end of stream", "a quote is opened and never closed"),
    ("did not find expected ',' or '}'", "a '{' is not closed; add the missing ',' or '}'"),
    ("did not find expected ',' or ']'", "a '[' is not closed; add the missing ',' or ']'"),
    ("did not find expected key", "the indentation fits no open block; align it with its siblings"),
    ("did not find expected '-' indicator", "a list item must begin with '- '; check the indentation"),
    ("did not find expected node content", "a value is missing here"),
    ("cannot start any token", "this character cannot begin a value; quote it"),
    ("block sequence entries are not allowed", "a '- ' cannot stand here; put the list on its own lines"),
    ("unknown escape character", "in double quotes a backslash begins an escape; double it or use single quotes"),
)


class _TooDeep(Exception):
    """Stops the walk; the problem is already noted."""


def parse(data: bytes, file: str) -> tuple[Document | None, list[Diagnostic]]:
    """The document, or None and every reason why not."""
    text, problems = _decode(data, file)
    if problems:
        return None, problems
    reader = _Reader(text, file)
    document = reader.read()
    return (None if reader.problems else document), reader.problems


def _decode(data: bytes, file: str) -> tuple[str, list[Diagnostic]]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(errors="replace")
        byte = data[error.start]
        hint = "save the file as UTF-8"
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            hint = "this is UTF-16; save the file as UTF-8"
        return "", [codes.ENCODING.at(_place(file, before), f"byte 0x{byte:02x} is not UTF-8; {hint}")]
    if text.startswith("\ufeff"):
        return "", [codes.ENCODING.at(Span(file, 1, 1), "a byte order mark begins the file; save it as UTF-8 without")]
    bad = _BAD_CHARACTER.search(text) or ("\r" in text and _LONE_CR.search(text)) or None
    if bad:
        code = ord(bad.group())
        name = {0: "a NUL", 13: "a carriage return without line feed", 0x2028: "a line separator"}
        what = name.get(code, f"control character U+{code:04X}")
        message = f'{what} stands here; remove it, or write it as an escape in double quotes ("\\u{code:04x}")'
        return "", [codes.ENCODING.at(_place(file, text[: bad.start()]), message)]
    return text, []


def _place(file: str, before: str) -> Span:
    return Span(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _Reader:
    """One pass over the events of one file."""

    __slots__ = ("_next", "file", "problems", "text")

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.problems: list[Diagnostic] = []
        self._next: Callable[[], Any] = CParser(text).get_event

    def read(self) -> Document | None:
        try:
            self._next()
            event = self._next()
            if isinstance(event, StreamEndEvent):
                self._note(codes.DOCUMENTS, event, "the file is empty; it must hold one object, beginning with `kind:`")
                return None
            self._directives(event)
            value, node = self._value(self._next(), 0)
            self._next()
            second = self._next()
            if isinstance(second, DocumentStartEvent):
                message = "a second document begins here; put each object into its own file"
                self._note(codes.DOCUMENTS, second, message)
            return Document(self.file, self.text, value, node)
        except _TooDeep:
            return None
        except YAMLError as error:
            self._syntax(error)
            return None

    def _value(self, event: Any, depth: int) -> tuple[Any, Node]:
        kind = type(event)
        if kind is AliasEvent:
            self._note(codes.ANCHOR, event, f"alias *{one_line(event.anchor, 40)} is not allowed; repeat the value")
            return None, Node(event)
        if event.anchor is not None:
            self._note(codes.ANCHOR, event, f"anchor &{one_line(event.anchor, 40)} is not allowed; remove it")
        if event.tag is not None:
            self._note(codes.TAG, event, f"tag {one_line(event.tag, 60)} is not allowed; remove it and quote text")
        if kind is ScalarEvent:
            return self._scalar(event), Node(event)
        if depth >= MAX_DEPTH:
            self._note(codes.DEPTH, event, f"nested deeper than {MAX_DEPTH} levels; flatten the value")
            raise _TooDeep
        return self._mapping(event, depth) if kind is MappingStartEvent else self._sequence(event, depth)

    def _mapping(self, start: Any, depth: int) -> tuple[dict[str, Any], Node]:
        values: dict[str, Any] = {}
        node = Node(start)
        step = self._next
        event: Any = step()
        while not isinstance(event, MappingEndEvent):
            key = self._key(event, depth)
            value, child = self._value(step(), depth + 1)
            if key is not None:
                if key in values:
                    self._duplicate(key, event, node.keys[key])
                else:
                    values[key] = value
                    node.keys[key] = event
                    node.children[key] = child
            event = step()
        node.end = event
        return values, node

    def _sequence(self, start: Any, depth: int) -> tuple[list[Any], Node]:
        values: list[Any] = []
        node = Node(start)
        event: Any = self._next()
        while not isinstance(event, SequenceEndEvent):
            value, child = self._value(event, depth + 1)
            node.children[len(values)] = child
            values.append(value)
            event = self._next()
        node.end = event
        return values, node

    def _key(self, event: Any, depth: int) -> str | None:
        if type(event) is not ScalarEvent:
            if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                self._note(codes.KEY, event, "a mapping or list is no key; quote '{' and '[' at the start of text")
            self._value(event, depth + 1)
            return None
        if event.style == "" and event.value == "<<":
            self._note(codes.ANCHOR, event, "merge key << is not allowed; repeat the values")
            return None
        value = self._value(event, depth)[0]
        if isinstance(value, str):
            return value
        if not (event.style == "" and self.problems and self.problems[-1].span == self._span(event)):
            shown = event.value or "(empty)"
            self._note(codes.KEY, event, f"key {one_line(shown, 40)} is read as {_kind(value)}; quote it")
        return None

    def _scalar(self, event: Any) -> str | int | float | bool | None:
        text: str = event.value
        if event.style or not event.implicit[0]:
            return text
        try:
            return scalars.plain(text)
        except scalars.Ambiguous as why:
            shown = one_line(text, 40)
            self._note(codes.SCALAR, event, f'{shown} {why}; write "{shown}" for text, or a plain decimal number')
            return None

    def _duplicate(self, key: str, event: Any, first: Event) -> None:
        line = first.start_mark.line + 1
        message = f"key `{one_line(key, 60)}` occurs twice, first in line {line}; remove one"
        self._note(codes.DUPLICATE, event, message, related=((self._span(first), "first one"),))

    def _directives(self, event: Any) -> None:
        if event.version is not None or event.tags:
            self._note(codes.TAG, event, "directives (%YAML, %TAG) are not allowed; remove the line")

    def _syntax(self, error: YAMLError) -> None:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        said = error.problem if isinstance(error, MarkedYAMLError) else None
        said = said or one_line(str(error), 120)
        if "cannot start any token" in said and mark and self.text[mark.index : mark.index + 1] == "\t":
            said = "found a tab"
        advice = next((advice for part, advice in _ADVICE if part in said), "see the line and the one above")
        related: tuple[tuple[Span, str], ...] = ()
        context = getattr(error, "context_mark", None)
        if mark and context and context.line != mark.line:
            related = ((Span(self.file, context.line + 1, context.column + 1), str(getattr(error, "context", ""))),)
        span = Span(self.file, mark.line + 1, mark.column + 1) if mark else Span(self.file, 1, 1)
        self.problems.append(codes.SYNTAX.at(span, f"{said}; {advice}", related=related))

    def _span(self, event: Any) -> Span:
        return Span(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _note(self, code: codes.Code, event: Any, message: str, related: tuple[tuple[Span, str], ...] = ()) -> None:
        count = len(self.problems)
        if count < MAX_PROBLEMS:
            mark = event.end_mark
            end = (mark.line + 1, mark.column + 1)
            self.problems.append(code.at(self._span(event), message, end=end, related=related))
        elif count == MAX_PROBLEMS:
            message = f"more than {MAX_PROBLEMS} problems; the rest of this file is not listed"
            self.problems.append(codes.SYNTAX.at(self._span(event), message))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return "a boolean" if isinstance(value, bool) else "a number"
