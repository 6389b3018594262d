"""Tables: made from a datatype's fields, compared with what is known, written where they grow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node.pusher import schema

FIELDS = [
    {"name": "UUID", "type": "STRING"},
    {"name": "Server", "type": "RECORD", "fields": [{"name": "Port", "type": "INT64", "mode": "REPEATED"}]},
]
NAME = "autoload/v1/tables/ndt/annotation2.table.json"


class Memory:
    """One object, with generations, as the store keeps it."""

    def __init__(self, data: bytes | None = None) -> None:
        self.data, self.generation, self.beaten = data, 1, 0

    def get(self, name: str) -> tuple[bytes, int] | None:
        assert name == NAME
        return None if self.data is None else (self.data, self.generation)

    def replace(self, name: str, data: bytes, generation: int, content_type: str) -> bool:
        if self.beaten:
            self.beaten -= 1
            self.data, self.generation = data, self.generation + 1
            return False
        assert generation == (self.generation if self.data is not None else 0)
        self.data, self.generation = data, self.generation + 1
        return True


def table(fields: Any, folder: Path) -> list[dict[str, Any]]:
    path = folder / "annotation2.json"
    path.write_text(json.dumps(fields))
    return schema.table(path)


def test_a_table_has_date_archiver_and_the_fields(tmp_path: Path) -> None:
    made = json.loads(schema.encode(table(FIELDS, tmp_path)))
    assert [(field["name"], field["type"], field.get("mode")) for field in made] == [
        ("date", "DATE", "REQUIRED"),
        ("archiver", "RECORD", "REQUIRED"),
        ("raw", "RECORD", None),
    ]
    assert [field["name"] for field in made[1]["fields"]] == ["Version", "GitCommit", "ArchiveURL", "Filename"]
    assert made[2]["fields"][1]["fields"] == [{"name": "Port", "type": "INTEGER", "mode": "REPEATED"}]


MORE = [*FIELDS, {"name": "New", "type": "FLOAT"}]
OTHER = [{"name": "UUID", "type": "BYTES"}, FIELDS[1]]
LESS = [FIELDS[0]]
BOTH = [FIELDS[0], {"name": "New", "type": "FLOAT"}]


@pytest.mark.parametrize(
    ("old", "new", "upload", "outcome"),
    [
        (None, FIELDS, True, "written"),
        (None, FIELDS, False, "does not exist"),
        (FIELDS, FIELDS, True, "as it is"),
        (FIELDS, FIELDS, False, "as it is"),
        (FIELDS, MORE, True, "written, with raw.New"),
        (FIELDS, MORE, False, "new fields raw.New"),
        (FIELDS, OTHER, True, "other types than before: raw.UUID"),
        (FIELDS, OTHER, False, "other types than before: raw.UUID"),
        (FIELDS, LESS, True, "fields are gone: raw.Server, raw.Server.Port"),
        (FIELDS, LESS, False, "as it is"),
        (FIELDS, BOTH, True, "fields are gone"),
        (FIELDS, BOTH, False, "fields are gone"),
    ],
)
def test_a_table_may_grow_and_never_shrink(tmp_path: Path, old: Any, new: Any, upload: bool, outcome: str) -> None:
    store = Memory(None if old is None else schema.encode(table(old, tmp_path)))
    before = store.data
    try:
        done = schema.settle(store, NAME, table(new, tmp_path), upload=upload)
    except schema.SchemaError as error:
        assert outcome in str(error)
        assert store.data == before
    else:
        assert done == outcome
        assert store.data == (before if done == "as it is" else schema.encode(table(new, tmp_path)))


def test_a_table_of_the_public_platform_is_read(tmp_path: Path) -> None:
    old = b'[{"name":"date","type":"DATE"},{"Name":"raw","Type":"RECORD","Schema":[{"Name":"UUID","Type":"STRING"}]}]'
    store = Memory(old)
    assert schema.settle(store, NAME, table(FIELDS, tmp_path), upload=True).startswith("written, with archiver")


def test_who_writes_at_the_same_time_is_compared_with(tmp_path: Path) -> None:
    store = Memory()
    store.beaten = 1
    assert schema.settle(store, NAME, table(FIELDS, tmp_path), upload=True) == "as it is"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        [1],
        [{"name": "a"}],
        [{"name": "a", "type": "WORD"}],
        [{"name": "", "type": "STRING"}],
        "x",
        [{"name": "a", "type": "RECORD"}],
    ],
)
def test_what_are_no_fields_is_refused(tmp_path: Path, fields: Any) -> None:
    with pytest.raises(schema.SchemaError, match=r"annotation2\.json: "):
        table(fields, tmp_path)


@pytest.mark.parametrize("data", [b"", b"{", b"[{]"])
def test_what_is_no_json_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(schema.SchemaError, match="give an array of fields"):
        schema.table(path)
    with pytest.raises(schema.SchemaError, match="is no JSON"):
        schema.settle(Memory(data), NAME, table(FIELDS, tmp_path), upload=True)
