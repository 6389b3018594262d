"""Ways through a JSON Schema: to the part that a violation names, through references, and to the condition above it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Path = tuple[str | int, ...]


def resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """A local reference (`#/$defs/port`); anything else is no concern of ours."""
    return subschema(root, reference.removeprefix("#/").split("/")) if reference.startswith("#/") else {}


def subschema(root: Mapping[str, Any], path: Sequence[str | int]) -> Any:
    node: Any = root
    for part in path:
        if part == "$ref":
            node = resolve(node["$ref"], root) if isinstance(node, dict) and "$ref" in node else node
        elif isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and str(part).isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return {}
    return node


def known_keys(schema: Mapping[str, Any], error: Any) -> list[str]:
    node = subschema(schema, error.schema_path[:-1])
    return list(node.get("properties", {})) if isinstance(node, dict) else []


def property_of(schema: Mapping[str, Any], error: Any, key: str) -> Any:
    """The description of a missing key: in the same schema, or where the object's own description has it."""
    for cut in range(len(error.schema_path), -1, -1):
        node = subschema(schema, error.schema_path[:cut])
        if isinstance(node, dict) and isinstance(node.get("properties"), dict) and key in node["properties"]:
            return node["properties"][key]
    return {}


def conditions(schema: Mapping[str, Any], error: Any) -> list[Path]:
    """The fields on which it depends whether this violation is one."""
    path = list(error.schema_path)
    for cut in range(len(path) - 1, -1, -1):
        if path[cut] not in ("then", "else"):
            continue
        owner = subschema(schema, path[:cut])
        if not isinstance(owner, dict) or "if" not in owner:
            continue
        return list(_condition_paths(owner["if"], _instance_base(path[:cut])))
    return []


def _instance_base(schema_path: Sequence[str | int]) -> Path:
    base: list[str | int] = []
    skip = False
    for index, part in enumerate(schema_path):
        if skip:
            skip = False
            continue
        if part == "properties" and index + 1 < len(schema_path):
            base.append(schema_path[index + 1])
            skip = True
    return tuple(base)


def _condition_paths(condition: Any, base: Path) -> Iterator[Path]:
    for key, inner in condition.get("properties", {}).items():
        if isinstance(inner, dict) and "properties" in inner:
            yield from _condition_paths(inner, (*base, key))
        else:
            yield (*base, key)
