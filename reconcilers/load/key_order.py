"""Keys of a YAML text in the order of its schema, by moving lines: comments go with the key that they stand above.

One mapping at a time, the outermost first, and the text is parsed again after each: formatting is rare, and places
that are looked up afresh cannot be stale. Mappings whose keys are names (machines, selectors) keep their order, and so
do keys that the schema does not know, behind those that it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconcilers.core.errors import ConfigError
from reconcilers.load import parse, schema_paths
from reconcilers.load.document import Node


def ordered(text: str, file: str, schema: Mapping[str, Any]) -> str:
    """The same values with every mapping's keys in order."""
    seen: set[str] = set()
    while text not in seen:
        seen.add(text)
        document, problems = parse.parse(text.encode(), file)
        if document is None:
            raise ConfigError(f"{file} cannot be parsed", problems)
        for node, keys in _disordered(document.root, schema, schema):
            moved = _flow(text, node, keys) if node.start.flow_style else _block(text, node, keys)
            if moved != text:
                text = moved
                break
    return text


def _disordered(node: Node, schema: Any, root: Mapping[str, Any]) -> Iterator[tuple[Node, list[str]]]:
    """Mappings that are not in order, outermost first, with the order they should have."""
    while isinstance(schema, dict) and "$ref" in schema:
        schema = schema_paths.resolve(schema["$ref"], root)
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties", {})
    if node.keys:
        rank = {key: position for position, key in enumerate(properties)}
        keys = sorted(node.keys, key=lambda key: rank.get(key, len(rank)))
        if keys != list(node.keys):
            yield node, keys
    for key, child in node.children.items():
        below = properties.get(key, schema.get("additionalProperties")) if isinstance(key, str) else schema.get("items")
        yield from _disordered(child, below, root)


def _flow(text: str, node: Node, keys: list[str]) -> str:
    """`{b: 1, a: 2}`: what is written for each key changes places; separators stay."""
    begin, end = node.start.start_mark.index, node.end.end_mark.index
    if "#" in text[begin:end]:
        return text
    slots = [(event.start_mark.index, node.children[key].end.end_mark.index) for key, event in node.keys.items()]
    written = {key: text[first:last] for key, (first, last) in zip(node.keys, slots, strict=True)}
    for key, (first, last) in reversed(list(zip(keys, slots, strict=True))):
        text = f"{text[:first]}{written[key]}{text[last:]}"
    return text


def _block(text: str, node: Node, keys: list[str]) -> str:
    lines = text.split("\n")
    marks = {key: event.start_mark for key, event in node.keys.items()}
    first = next(iter(marks.values()))
    column: int = first.column
    dash = lines[first.line][:column]
    inside_item = dash.strip() != ""
    if inside_item:
        lines[first.line] = " " * column + lines[first.line][column:]
    starts = [mark.line for mark in marks.values()]
    if len(set(starts)) < len(starts):
        return text
    top = starts[0] if inside_item or column == 0 else _leading(lines, starts[0], column)
    begins = [top, *(_leading(lines, line, column) for line in starts[1:])]
    ends = [*begins[1:], _end(lines, starts[-1], column)]
    pieces: dict[str, tuple[list[str], list[str]]] = {}
    for key, begin, start, end in zip(marks, begins, starts, ends, strict=True):
        pieces[key] = (lines[begin:start], lines[start:end])
    moved: list[str] = []
    for position, key in enumerate(keys):
        above, body = pieces[key]
        if inside_item and position == 0:
            body = [dash + body[0][column:], *body[1:]]
            margin = dash[: len(dash) - len(dash.lstrip())]
            above = [margin + line.lstrip() for line in above]
        moved += [*above, *body]
    return "\n".join([*lines[:top], *moved, *lines[ends[-1] :]])


def _leading(lines: list[str], line: int, column: int) -> int:
    """Where the comments begin that stand directly above a key, at its indentation."""
    while line > 0 and lines[line - 1].startswith(f"{' ' * column}#"):
        line -= 1
    return line


def _end(lines: list[str], start: int, column: int) -> int:
    """The line after a mapping's last entry; blank lines before what follows are not part of it."""
    end = start + 1
    for number in range(start + 1, len(lines)):
        line = lines[number]
        indent = len(line) - len(line.lstrip(" "))
        deeper = indent > column or (indent == column and line.lstrip().startswith("- "))
        if line.strip() and not deeper:
            break
        if line.strip():
            end = number + 1
    return end
