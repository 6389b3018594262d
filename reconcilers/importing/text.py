"""A new configuration file as text, in the form that `mlab fmt` keeps: keys in the schema's order, quotes where needed.

Written by hand rather than by a YAML printer, so that a file reads as if a person had written it: a machine is one line
while it is short, an IPv4 prefix has no quotes, an IPv6 one has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from reconcilers.load import scalars, schema_paths

_PLAIN = re.compile(r"[^\W_](?:[\w .,&()/+'-]*[\w.)])?\Z")
_PLAIN_IN_FLOW = re.compile(r"[A-Za-z0-9](?:[\w .-]*[\w.])?\Z", re.ASCII)
_FLOW_WIDTH = 60


def file(value: Mapping[str, Any], schema: Mapping[str, Any], schema_file: str) -> str:
    """The whole file: the line that names its schema, then the object."""
    lines = _block(ordered(value, schema, schema), 0)
    return "\n".join([f"# yaml-language-server: $schema=../../schemas/{schema_file}", *lines, ""])


def ordered(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    """The same value, each mapping's keys as the schema lists them; unknown ones behind, names as they come."""
    while isinstance(schema, dict) and "$ref" in schema:
        schema = schema_paths.resolve(schema["$ref"], root)
    schema = schema if isinstance(schema, dict) else {}
    if isinstance(value, list):
        return [ordered(item, schema.get("items"), root) for item in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    rank = {key: position for position, key in enumerate(properties)}
    keys = sorted(value, key=lambda key: rank.get(key, len(rank)))
    return {key: ordered(value[key], properties.get(key, schema.get("additionalProperties")), root) for key in keys}


def _block(value: Mapping[str, Any], indent: int) -> Iterator[str]:
    margin = " " * indent
    for key, inner in value.items():
        head = f"{margin}{scalar(key)}:"
        if isinstance(inner, dict) and inner:
            line = _flow(inner)
            if indent and line and len(line) <= _FLOW_WIDTH:
                yield f"{head} {line}"
            else:
                yield head
                yield from _block(inner, indent + 2)
        elif isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            yield head
            yield from (f"{margin}  - {_any_flow(item)}" for item in inner)
        elif isinstance(inner, list | dict):
            yield f"{head} {_any_flow(inner)}"
        else:
            yield f"{head} {scalar(inner)}"


def _flow(value: Mapping[str, Any]) -> str:
    """A mapping of a few plain words in one line, or `""`: anything that wants quotes deserves its own line."""
    if any(isinstance(inner, dict | list | str) and not _bare(inner) for inner in value.values()):
        return ""
    return _any_flow(value)


def _bare(value: Any) -> bool:
    return isinstance(value, str) and _is_plain(value, _PLAIN_IN_FLOW)


def _any_flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key, flow=True)}: {_any_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_any_flow(item) for item in value) + "]"
    return scalar(value, flow=True)


def scalar(value: Any, *, flow: bool = False) -> str:
    """One value; `flow` inside of brackets, where fewer texts go without quotes."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else f"{text}.0"
    text = str(value)
    return text if _is_plain(text, _PLAIN_IN_FLOW if flow else _PLAIN) else _quoted(text)


def _is_plain(text: str, pattern: re.Pattern[str]) -> bool:
    return bool(pattern.match(text)) and text.isprintable() and "  " not in text and not scalars.needs_quotes(text)


def _quoted(text: str) -> str:
    """In double quotes, or in single ones around double ones; what a person cannot see is written as an escape."""
    if '"' in text and text.isprintable() and not any(char in text for char in "'\\"):
        return f"'{text}'"
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    return json.dumps(char)[1:-1] if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
