"""Schemas are valid, closed, and say enough for an editor's hover on every property."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from reconcilers.load.source_files import FOLDERS
from tests.config.configuration import CONFIG_SCHEMAS, SCHEMAS, parts, schema, validator

DIALECT = "https://json-schema.org/draft/2020-12/schema"
OPEN = {"plan"}
"""Readers of a plan ignore keys that they do not know."""

every_schema = pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name.removesuffix(".schema.json"))


def described(path: Path) -> list[tuple[str, Any]]:
    """Every property that a person may write or read; conditions are left out, for they only restrict."""
    return list(_properties(schema(path), "#"))


def _properties(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        return
    for name, inner in node.get("properties", {}).items():
        yield f"{where}/{name}", inner
        yield from _properties(inner, f"{where}/{name}")
    for name, inner in node.get("$defs", {}).items():
        yield from _properties(inner, f"{where}/$defs/{name}")
    for key in ("items", "additionalProperties"):
        yield from _properties(node.get(key), f"{where}/{key}")
    for position, inner in enumerate(node.get("anyOf", [])):
        if "description" in inner:
            yield from _properties(inner, f"{where}/anyOf/{position}")


@every_schema
def test_a_schema_is_valid_2020_12(path: Path) -> None:
    assert schema(path)["$schema"] == DIALECT
    assert schema(path)["$id"].endswith(f"{path.parent.name}/{path.name}")
    jsonschema_rs.meta.validate(schema(path))
    validator(path)


@every_schema
def test_a_schema_refuses_unknown_keys_wherever_it_lists_properties(path: Path) -> None:
    if path.name.removesuffix(".schema.json") in OPEN:
        return
    shapes = [
        (where, part) for where, part in parts(schema(path)) if part.get("type") in ("object", ["object", "null"])
    ]
    assert shapes or schema(path)["type"] == "array"
    for where, part in shapes:
        closed = part.get("additionalProperties") is False
        by_name = isinstance(part.get("additionalProperties"), dict) and "propertyNames" in part
        assert closed or by_name, f"{path.name}: {where} takes any key"


@every_schema
def test_every_property_has_a_title_a_description_and_examples(path: Path) -> None:
    properties = described(path)
    for where, part in properties:
        assert part.get("title"), f"{path.name}: {where} has no title"
        text = part.get("description", "")
        assert len(text) >= 4 and text.endswith((".", ")", "?")), f"{path.name}: {where}: description {text!r}"
        scalar = part.get("type") in ("string", "integer", "number") and "enum" not in part
        assert not scalar or part.get("examples"), f"{path.name}: {where} has no examples"


@every_schema
def test_every_value_of_a_list_of_texts_is_explained(path: Path) -> None:
    for where, part in parts(schema(path)):
        if "enumDescriptions" in part:
            assert len(part["enumDescriptions"]) == len(part["enum"]), f"{path.name}: {where}"
    for where, part in described(path):
        assert "enum" not in part or "enumDescriptions" in part, (
            f"{path.name}: {where} lists values without a text each"
        )


@every_schema
def test_the_examples_of_a_schema_are_valid(path: Path) -> None:
    for example in schema(path).get("examples", []):
        validator(path).validate(example)


@every_schema
def test_examples_and_defaults_of_properties_are_valid(path: Path) -> None:
    definitions = schema(path).get("$defs", {})
    for where, part in described(path):
        checker = jsonschema_rs.validator_for({**part, "$defs": definitions})
        for example in [*part.get("examples", []), *([part["default"]] if "default" in part else [])]:
            assert checker.is_valid(example), f"{path.name}: {where}: example {example!r}"


def test_each_config_kind_has_exactly_one_schema() -> None:
    kinds = sorted(schema(path)["properties"]["kind"]["const"] for path in CONFIG_SCHEMAS)
    assert kinds == sorted(kind for folder in FOLDERS.values() for kind in folder)
