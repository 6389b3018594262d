"""The schema's defaults, filled in where a valid document leaves something out.

Compiled once per schema into nested functions; branches without any default cost nothing. Defaults under conditions
(`if`, `anyOf`) are not looked at: a default must not depend on other values, or two readers would disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reconcilers.load import schema_paths

Fill = Callable[[Any], Any]


def filler(schema: Mapping[str, Any]) -> Fill:
    """A function from a valid document to the complete one."""
    return _compile(schema, schema, {}) or dict


def _compile(schema: Any, root: Mapping[str, Any], references: dict[str, list[Fill | None]]) -> Fill | None:
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        return _reference(schema["$ref"], root, references)
    properties = {key: inner for key, inner in schema.get("properties", {}).items() if isinstance(inner, dict)}
    defaults = {key: inner["default"] for key, inner in properties.items() if "default" in inner}
    below = {key: fill for key, inner in properties.items() if (fill := _compile(inner, root, references))}
    rest = _compile(schema.get("additionalProperties"), root, references)
    items = _compile(schema.get("items"), root, references)
    if not (defaults or below or rest or items):
        return None

    def complete(value: Any) -> Any:
        if isinstance(value, dict):
            return _mapping(value, properties, defaults, below, rest)
        return [items(item) for item in value] if items and isinstance(value, list) else value

    return complete


def _mapping(
    value: dict[str, Any],
    properties: Mapping[str, Any],
    defaults: Mapping[str, Any],
    below: Mapping[str, Fill],
    rest: Fill | None,
) -> dict[str, Any]:
    done = dict(value)
    for key, default in defaults.items():
        done.setdefault(key, default)
    for key, fill in below.items():
        if key in done:
            done[key] = fill(done[key])
    if rest:
        for key in done.keys() - properties.keys():
            done[key] = rest(done[key])
    return done


def _reference(reference: str, root: Mapping[str, Any], references: dict[str, list[Fill | None]]) -> Fill | None:
    """One function per definition, looked up when called: a definition may hold itself."""
    if reference not in references:
        slot: list[Fill | None] = []
        references[reference] = slot
        slot.append(_compile(schema_paths.resolve(reference, root), root, references))
        return slot[0]
    slot = references[reference]
    if slot:
        return slot[0]

    def later(value: Any) -> Any:
        return slot[0](value) if slot and slot[0] else value

    return later
