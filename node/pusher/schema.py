"""The table that a datatype's lines are loaded into, and whether it still fits the one that is known already.

A datatype's fields (a JSON array, as BigQuery has them) become the member `raw` of each line. The table may get new
fields; a field that is gone or of another type would make lines impossible to load, and stops the program.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_SAME = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD", "DECIMAL": "NUMERIC"}
_TYPES = frozenset(
    (
        *("STRING", "BYTES", "INTEGER", "FLOAT", "BOOLEAN", "TIMESTAMP", "RECORD", "DATE", "TIME", "DATETIME"),
        *("NUMERIC", "BIGNUMERIC", "GEOGRAPHY", "INTERVAL", "JSON", "RANGE"),
    )
)
_ATTEMPTS = 5


class SchemaError(Exception):
    """Fields that lines cannot be loaded into."""


class Store(Protocol):
    """Where tables are described."""

    def get(self, name: str) -> tuple[bytes, int] | None: ...

    def replace(self, name: str, data: bytes, generation: int, content_type: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """Dotted names of fields."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def table(path: Path) -> list[dict[str, Any]]:
    """The table for the fields of a file. Raises `SchemaError`."""
    try:
        fields = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SchemaError(f"{path}: cannot be read: {error}; give an array of fields, as BigQuery has them") from None
    named = [{"name": name, "type": "STRING", "mode": "REQUIRED"} for name in _ARCHIVER]
    return [
        {"name": "date", "type": "DATE", "mode": "REQUIRED"},
        {"name": "archiver", "type": "RECORD", "mode": "REQUIRED", "fields": named},
        {"name": "raw", "type": "RECORD", "fields": _fields(fields, str(path))},
    ]


_ARCHIVER = ("Version", "GitCommit", "ArchiveURL", "Filename")


def _fields(found: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(found, list):
        raise SchemaError(f"{where}: is no array of fields")
    made = []
    for field in found:
        lower = {key.lower(): value for key, value in field.items()} if isinstance(field, dict) else {}
        name, kind = lower.get("name"), str(lower.get("type", "")).upper()
        kind = _SAME.get(kind, kind)
        if not isinstance(name, str) or not name or kind not in _TYPES:
            raise SchemaError(f"{where}: {json.dumps(field)[:80]} is no field with a name and a type of BigQuery")
        kept = {**lower, "type": kind}
        if kind == "RECORD":
            kept["fields"] = _fields(lower.get("fields", lower.get("schema")), f"{where}: {name}")
        made.append(kept)
    return made


def encode(fields: list[dict[str, Any]]) -> bytes:
    """As it is stored."""
    return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _types(fields: list[dict[str, Any]], above: str = "") -> dict[str, str]:
    made: dict[str, str] = {}
    for field in fields:
        name = f"{above}{field['name']}"
        made[name] = field["type"]
        made.update(_types(field.get("fields", []), f"{name}."))
    return made


def difference(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Difference:
    """What became of fields."""
    before, after = _types(old), _types(new)
    return Difference(
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(before.keys() - after.keys())),
        tuple(sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
    )


def object_name(prefix: str, experiment: str, datatype: str) -> str:
    """Where the table is described."""
    return f"{prefix}/tables/{experiment}/{datatype}.table.json"


def settle(store: Store, name: str, wanted: list[dict[str, Any]], *, upload: bool) -> str:
    """See to it that what is stored fits; what was done. Raises `SchemaError`, and what `store` raises."""
    for _ in range(_ATTEMPTS):
        stored = store.get(name)
        if stored is None:
            if not upload:
                raise SchemaError(f"{name}: does not exist, and -upload-schema=false forbids to write it")
            if store.replace(name, encode(wanted), 0, "application/json"):
                return "written"
            continue
        try:
            old = _fields(json.loads(stored[0]), name)
        except ValueError as error:
            raise SchemaError(f"{name}: what is stored is no JSON: {error}") from None
        found = difference(old, wanted)
        _refuse(name, found, upload=upload)
        if not found.added:
            return "as it is"
        if store.replace(name, encode(wanted), stored[1], "application/json"):
            return f"written, with {', '.join(found.added)}"
    raise SchemaError(f"{name}: others write it again and again")


def _refuse(name: str, found: Difference, *, upload: bool) -> None:
    if found.changed:
        raise SchemaError(f"{name}: other types than before: {', '.join(found.changed)}; give them other names")
    if found.removed and (upload or found.added):
        raise SchemaError(f"{name}: fields are gone: {', '.join(found.removed)}; keep them, unused")
    if found.added and not upload:
        raise SchemaError(
            f"{name}: new fields {', '.join(found.added)}, and -upload-schema=false forbids to write them"
        )


def files(datatypes: Mapping[str, Path], given: list[str]) -> dict[str, Path]:
    """The file of each datatype: what `-datatype-schema-file` says, else the default. Raises `SchemaError`."""
    made = dict(datatypes)
    for word in given:
        datatype, colon, path = word.partition(":")
        if not colon or not path:
            raise SchemaError(f"-datatype-schema-file {word!r} is not DATATYPE:PATH")
        if datatype not in made:
            raise SchemaError(f"-datatype-schema-file {word!r}: {datatype} is no datatype of the command line")
        made[datatype] = Path(path)
    return made
