"""Bundles of lines: what the archive's loader reads, and what never gets into one."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.pusher import jsonl, reading
from tests.pusher.conftest import DAY

US = 1_795_373_112_034_001
ROOT = Path("/var/spool/ndt/annotation2")
OBJECT = f"autoload/v1/ndt/annotation2/{DAY}/20261122T184512.034001Z-annotation2-mlab1-abc01-ndt-data.jsonl.gz"


def form(max_bytes: int = 20 << 20) -> jsonl.Format:
    return jsonl.Format(
        jsonl.Target(
            bucket="pusher-mlab-oti",
            prefix="autoload/v1",
            experiment="ndt",
            datatype="annotation2",
            machine="mlab1-abc01",
            commit="abc1234",
            root=ROOT,
            extensions=(".json",),
            max_bytes=max_bytes,
        )
    )


def add(packer: jsonl.Packer, folder: Path, name: str, data: bytes, added_us: int = US) -> None:
    path = folder / "member"
    path.write_bytes(data)
    with path.open("rb") as file:
        packer.add(name, file.fileno(), os.fstat(file.fileno()), added_us)


def finished(packer: jsonl.Packer) -> tuple[bytes, bytes]:
    """Lines and index."""
    packer.finish()
    made = []
    for content in packer.contents:
        content.sync()
        with content.open() as file:
            made.append(gzip.decompress(file.read()))
    return made[0], made[1]


def test_a_line_and_its_index_are_those_of_the_archive(tmp_path: Path) -> None:
    packer = form().begin(DAY, US, tmp_path / "bundle")
    add(packer, tmp_path, f"{DAY}/a.json", b'{"UUID": "x",  "n": 1.50}\n')
    add(packer, tmp_path, f"{DAY}/b.json", b'{"UUID":"y"}', US + 1)
    data, index = finished(packer)
    line = (
        '{"Date":"2026-11-22","Archiver":{"Version":"v2.0.0","GitCommit":"abc1234",'
        f'"ArchiveURL":"gs://pusher-mlab-oti/{OBJECT}","Filename":"{ROOT}/{DAY}/%s"}},"Raw":%s}}'
    )
    lines = [line % ("a.json", '{"UUID": "x",  "n": 1.50}'), line % ("b.json", '{"UUID":"y"}')]
    assert data == "\n".join(lines).encode()
    assert index.decode().split("\n") == [
        f'{{"Filename":"{ROOT}/{DAY}/a.json","Size":{len(lines[0])},"TimeAdded":"2026/11/22T184512.034001Z"}}',
        f'{{"Filename":"{ROOT}/{DAY}/b.json","Size":{len(lines[1])},"TimeAdded":"2026/11/22T184512.034002Z"}}',
    ]


JSON = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.integers()
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
).filter(lambda value: not any("\ud800" <= char <= "\udfff" for char in repr(value)))


@settings(max_examples=60)
@given(objects=st.lists(JSON, max_size=6), newline=st.booleans(), ascii_only=st.booleans())
def test_every_object_comes_back_from_its_line_in_order(
    objects: list[Any], newline: bool, ascii_only: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    packer = form().begin(DAY, US, folder / "bundle")
    for n, value in enumerate(objects):
        text = json.dumps(value, ensure_ascii=ascii_only) + "\n" * newline
        add(packer, folder, f"{DAY}/{n}.json", text.encode())
    data, index = finished(packer)
    lines = data.split(b"\n") if objects else []
    entries = [json.loads(line) for line in index.split(b"\n")] if objects else []
    assert [json.loads(line)["Raw"] for line in lines] == objects
    assert [entry["Size"] for entry in entries] == [len(line) for line in lines]
    names = [f"{ROOT}/{DAY}/{n}.json" for n in range(len(objects))]
    assert [entry["Filename"] for entry in entries] == names
    assert [json.loads(line)["Archiver"]["Filename"] for line in lines] == names


@settings(max_examples=300)
@given(st.binary(max_size=30) | st.text(max_size=30).map(str.encode) | st.sampled_from([b"{}", b"[]", b"1", b"{}\n{}"]))
def test_what_passes_is_one_line_that_python_reads_as_an_object(data: bytes) -> None:
    if jsonl.content_error(data) == "":
        assert isinstance(json.loads(data), dict)
        assert b"\n" not in data.removesuffix(b"\n")


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"\n",
            b"{",
            b'{"a":1}x',
            b"[1]",
            b"1",
            b'"x"',
            b"null",
            b'{"a":NaN}',
            b'{"a":\n1}',
            b"{}\n{}",
            b"{}\n\n",
        ),
        *(b'{"a":"\xff"}', b"\xef\xbb\xbf{}", b'{"a":01}', b"\x00", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_no_table_takes_is_bad(tmp_path: Path, data: bytes) -> None:
    packer = form().begin(DAY, US, tmp_path / "bundle")
    with pytest.raises(reading.Bad):
        add(packer, tmp_path, f"{DAY}/bad.json", data)
    add(packer, tmp_path, f"{DAY}/good.json", b"{}")
    assert [json.loads(line)["Raw"] for line in finished(packer)[0].split(b"\n")] == [{}]


def test_a_bundle_has_room_up_to_its_size(tmp_path: Path) -> None:
    packer = form(1000).begin(DAY, US, tmp_path / "bundle")
    assert packer.fits(1000) and packer.fits(1001)
    add(packer, tmp_path, f"{DAY}/a.json", b'{"a":"' + b"x" * 500 + b'"}')
    assert packer.fits(1001), "too large for any bundle; `add` says so"
    assert not packer.fits(700)
    assert not packer.full()
    with pytest.raises(reading.TooLarge):
        add(packer, tmp_path, f"{DAY}/b.json", b'{"a":"' + b"x" * 1000 + b'"}')


@pytest.mark.parametrize(
    "name",
    [
        *("x.json", "2026/11/x.json", f"{DAY}/deeper/x.json", f"{DAY}/.x.json", f"{DAY}/x..json", f"{DAY}/x.txt"),
        *(
            f"{DAY}/a b.json",
            f"{DAY}/é.json",
            f"{DAY}/x\n.json",
            "2026/13/01/x.json",
            "2026/02/30/x.json",
            "1999/01/01/x.json",
        ),
    ],
)
def test_a_file_elsewhere_or_of_another_name_is_left_alone(name: str) -> None:
    assert form().refuses(name)


@pytest.mark.parametrize("name", [f"{DAY}/x.json", f"{DAY}/ndt-abc_1:2_X.0.json", "2024/02/29/x.json"])
def test_a_file_of_a_day_is_taken(name: str) -> None:
    assert form().refuses(name) == ""
