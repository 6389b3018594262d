"""Reads the committed schemas and the committed configuration for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from reconcilers.fleet.model import Fleet
from reconcilers.load import fleet, parse

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = tuple(sorted((ROOT / "schemas").rglob("*.schema.json")))
CONFIG_SCHEMAS = tuple(
    path for path in SCHEMAS if "const" in json.loads(path.read_text()).get("properties", {}).get("kind", {})
)
FILES = tuple(sorted((ROOT / "config").rglob("*.yaml")))


@lru_cache
def schema(path: Path) -> Any:
    return json.loads(path.read_text())


@lru_cache
def validator(path: Path) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schema(path), validate_formats=True)


@lru_cache
def value(path: Path) -> Any:
    document, problems = parse.parse(path.read_bytes(), str(path.relative_to(ROOT)))
    assert document is not None and not problems, [problem.line() for problem in problems]
    return document.value


@lru_cache
def committed() -> Fleet:
    return fleet.load(ROOT).require()


def parts(node: Any, where: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of a schema with its place, but not the data in `examples`, `default`, `const` and `enum`."""
    if isinstance(node, dict):
        yield where, node
        for key, inner in node.items():
            if key not in ("examples", "default", "const", "enum"):
                yield from parts(inner, f"{where}/{key}")
    elif isinstance(node, list):
        for position, inner in enumerate(node):
            yield from parts(inner, f"{where}/{position}")
