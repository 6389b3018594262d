"""A parsed YAML file: its value, and where every part of it stands, looked up only when somebody asks.

Parsing keeps the parser's own events beside the values (no copying); lines and columns are read out of them on demand,
so that marks cost the fleet of 350 files a few milliseconds. Paths are those of JSON Schema: keys and list indexes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconcilers.core.model import Span

Path = Sequence[str | int]


Event = Any
"""One event of the parser: `start_mark` and `end_mark` hold line and column from 0, and `index` in characters."""


class Node:
    """The place of one value: `keys` for a mapping's own keys, `children` by key or index."""

    __slots__ = ("children", "end", "keys", "start")

    def __init__(self, start: Event) -> None:
        self.start = start
        self.end = start
        self.keys: dict[str, Event] = {}
        self.children: dict[str | int, Node] = {}


class Document:
    """One file's value with its places; `file` is relative to the root, as it is printed."""

    __slots__ = ("file", "root", "text", "value")

    def __init__(self, file: str, text: str, value: Any, root: Node) -> None:
        self.file, self.text, self.value, self.root = file, text, value, root

    def node(self, path: Path) -> Node:
        """The deepest existing node along the path (a missing field is placed at its parent)."""
        node = self.root
        for part in path:
            child = node.children.get(part)
            if child is None:
                break
            node = child
        return node

    def span(self, path: Path) -> Span:
        """Where the value at a path begins; where the path leads nowhere, its deepest existing parent."""
        return _span(self.file, self.node(path).start)

    def end(self, path: Path) -> tuple[int, int]:
        """Line and column just after the value, from 1."""
        mark = self.node(path).end.end_mark
        return mark.line + 1, mark.column + 1

    def parent(self, path: Path) -> tuple[Span, tuple[int, int]]:
        """Where to put what a mapping lacks: the key that holds it, or its own beginning at the top."""
        return self.key(path) if path else (_span(self.file, self.root.start), (0, 0))

    def key(self, path: Path) -> tuple[Span, tuple[int, int]]:
        """Where the key of a path stands and ends; the value itself for a list item."""
        event = self.node(path[:-1]).keys.get(str(path[-1])) if path else None
        if event is None:
            return self.span(path), self.end(path)
        mark = event.end_mark
        return _span(self.file, event), (mark.line + 1, mark.column + 1)

    def end_at(self, span: Span) -> tuple[int, int]:
        """Where the key or value that begins at a place ends: the shorter, if both do. (0, 0) if none begins there."""
        ends = [
            (event.end_mark.line + 1, event.end_mark.column + 1)
            for first, event in _starts(self.root)
            if (first.start_mark.line + 1, first.start_mark.column + 1) == (span.line, span.column)
        ]
        return min(ends, default=(0, 0))

    def source(self, path: Path) -> str:
        """The scalar as it is written in the file, quotes included."""
        node = self.node(path)
        return self.text[node.start.start_mark.index : node.end.end_mark.index]

    def is_plain(self, path: Path) -> bool:
        """Whether the scalar is written without quotes."""
        return getattr(self.node(path).start, "style", None) == ""

    def spans(self) -> Mapping[str, Span]:
        """All places by dotted path (`network.ipv4.prefix`), computed when asked for."""
        return Spans(self)


class Spans(Mapping[str, Span]):
    """Dotted field path to place. A key that itself holds dots is found too, the longest match first."""

    __slots__ = ("_document",)

    def __init__(self, document: Document) -> None:
        self._document = document

    def __getitem__(self, dotted: str) -> Span:
        node: Node | None = self._document.root
        rest = dotted.split(".") if dotted else []
        while rest and node is not None:
            node, rest = _step(node, rest)
        if node is None:
            raise KeyError(dotted)
        return _span(self._document.file, node.start)

    def __iter__(self) -> Iterator[str]:
        return _paths(self._document.root, "")

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _step(node: Node, rest: list[str]) -> tuple[Node | None, list[str]]:
    for taken in range(len(rest), 0, -1):
        key = ".".join(rest[:taken])
        child = node.children.get(key)
        if child is None and key.isdecimal():
            child = node.children.get(int(key))
        if child is not None:
            return child, rest[taken:]
    return None, rest


def _paths(node: Node, prefix: str) -> Iterator[str]:
    for key, child in node.children.items():
        path = f"{prefix}{key}"
        yield path
        yield from _paths(child, f"{path}.")


def _starts(node: Node) -> Iterator[tuple[Event, Event]]:
    """First and last event of every key and value."""
    yield node.start, node.end
    for event in node.keys.values():
        yield event, event
    for child in node.children.values():
        yield from _starts(child)


def _span(file: str, event: Event) -> Span:
    mark = event.start_mark
    return Span(file, mark.line + 1, mark.column + 1)
