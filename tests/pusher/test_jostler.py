"""Jostler's command line with the real store: tables, lines, index, quarantine; kills; both formats in one process."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.pusher.conftest import AT_ONCE, DAY, Bucket, Spool, Start

FIELDS = [{"name": "UUID", "type": "STRING"}]
TABLE = "autoload/v1/tables/ndt/annotation2.table.json"


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "annotation2.json"
    path.write_text(json.dumps(FIELDS))
    return path


def words(spool: Spool, bucket: Bucket, schema: Path, *more: str) -> tuple[str, ...]:
    """The datatypes are in `spool` for an experiment that is called as its folder."""
    return (
        *(f"-gcs-bucket={bucket.name}", f"-local-data-dir={spool.folder.parent}", f"-experiment={spool.folder.name}"),
        *("-mlab-node-name=mlab1-abc01.mlab-oti.measurement-lab.org", "-datatype=annotation2"),
        *(f"-datatype-schema-file=annotation2:{schema}", "-bundle-age-max=200ms", "-sigterm_wait_time=0"),
        *("-prometheusx.listen-address=127.0.0.1:0", *more),
    )


def lines(bucket: Bucket) -> list[dict[str, Any]]:
    """All lines, each found once in the index of its own bundle, in the same order."""
    found = []
    for name in [name for name in bucket.names() if name.endswith("-data.jsonl.gz")]:
        data = gzip.decompress(bucket.read(name)).split(b"\n")
        index_name = name.replace("/annotation2/", "/index1/").replace("-data.", "-index1.")
        index = [json.loads(line) for line in gzip.decompress(bucket.read(index_name)).split(b"\n")]
        made = [json.loads(line) for line in data]
        assert [entry["Filename"] for entry in index] == [line["Archiver"]["Filename"] for line in made]
        assert [entry["Size"] for entry in index] == [len(line) for line in data]
        assert {line["Archiver"]["ArchiveURL"] for line in made} == {f"gs://{bucket.name}/{name}"}
        assert {line["Date"] for line in made} == {"-".join(name.split("/")[-4:-1])}
        found += made
    assert 2 * len([name for name in bucket.names() if "-data." in name]) == len(
        [name for name in bucket.names() if not name.endswith(".table.json")]
    )
    return found


def test_every_good_file_is_one_line_and_no_bad_one_is_lost(
    bucket: Bucket, spool: Spool, schema: Path, start: Start
) -> None:
    good = [f"2026/11/{day}/{n}.json" for day in range(16, 23) for n in range(4)]
    for n, name in enumerate(good):
        spool.write(name, b'{"UUID": "%d"}\n' % n, datatype="annotation2")
    bad = {
        f"{DAY}/broken.json": b"{",
        f"{DAY}/two.json": b"{}\n{}",
        f"{DAY}/empty.json": b"",
        f"{DAY}/list.json": b"[]",
    }
    other = {f"{DAY}/deep/x.json": b"{}", f"{DAY}/x.txt": b"{}", f"{DAY}/.hidden.json": b"{}", "x.json": b"{}"}
    for name, data in {**bad, **other}.items():
        spool.write(name, data, datatype="annotation2")
    # Long enough for a day's files to be one bundle also where the machine pauses between two of them.
    pusher = start(alone=words(spool, bucket, schema, "-bundle-age-max=10s")).ready()
    pusher.until(lambda: len(spool.files()) == len(other), f"only {sorted(other)} are left")
    assert pusher.metric("pusher_files_quarantined_total") == len(bad)
    assert pusher.metric("jostler_bytes_per_bundle_count", datatype="annotation2") == 7
    assert pusher.metric("jostler_bytes_per_bundle_count", datatype="index1") == 7
    assert pusher.stop() == 0
    assert sorted(line["Raw"]["UUID"] for line in lines(bucket)) == sorted(str(n) for n in range(len(good)))
    assert spool.files() == sorted(f"annotation2/{name}" for name in other)
    aside = spool.folder / ".pusher/annotation2/quarantine"
    assert {str(path.relative_to(aside)): path.read_bytes() for path in aside.rglob("*.json")} == bad
    assert [field["name"] for field in json.loads(bucket.read(TABLE.replace("ndt", spool.folder.name)))] == [
        *("date", "archiver", "raw")
    ]


@pytest.mark.parametrize(
    "point",
    [
        "quarantine-before-rename",
        "quarantine-after-rename",
        "upload-after:0",
        "upload-after:1",
        "upload-before:1",
        "journal-after-fsync",
        "stored-after-write",
    ],
)
def test_a_kill_at_any_point_doubles_no_line(
    bucket: Bucket, spool: Spool, schema: Path, start: Start, point: str
) -> None:
    spool.write(f"{DAY}/bad.json", b"{", datatype="annotation2")
    for n in range(3):
        spool.write(f"{DAY}/{n}.json", b'{"UUID":"%d"}' % n, datatype="annotation2")
    at = point if ":" in point else f"{point}:0"
    killed = start(alone=words(spool, bucket, schema), env={"MLAB_FAULT_AT": at})
    assert killed.ended() == -signal.SIGKILL, killed.said
    pusher = start(alone=words(spool, bucket, schema)).ready()
    pusher.until(lambda: not spool.files() and spool.state("annotation2") == ["quarantine"], "nothing else is left")
    assert pusher.stop() == 0
    assert sorted(line["Raw"]["UUID"] for line in lines(bucket)) == ["0", "1", "2"]
    assert len(list((spool.folder / ".pusher/annotation2/quarantine").rglob("*.json"))) == 1


def test_a_table_that_lost_a_field_stops_the_start(bucket: Bucket, spool: Spool, schema: Path, start: Start) -> None:
    stored = [{"name": "date", "type": "DATE"}, {"name": "gone", "type": "STRING"}]
    name = TABLE.replace("ndt", spool.folder.name)
    bucket.wire.put(bucket.name, name, json.dumps(stored).encode())
    spool.write(f"{DAY}/x.json", b"{}", datatype="annotation2")
    pusher = start(alone=words(spool, bucket, schema))
    assert pusher.ended() == 1
    assert "fields are gone: gone" in pusher.said and "Traceback" not in pusher.said
    assert spool.files() == [f"annotation2/{DAY}/x.json"]


def test_a_store_that_comes_late_is_waited_for(bucket: Bucket, spool: Spool, schema: Path, start: Start) -> None:
    bucket.fault(status=503, times=3)
    spool.write(f"{DAY}/x.json", b'{"UUID":"late"}', datatype="annotation2")
    pusher = start(alone=words(spool, bucket, schema)).ready()
    pusher.until(lambda: not spool.files(), "no file is left")
    assert pusher.stop() == 0
    assert [line["Raw"] for line in lines(bucket)] == [{"UUID": "late"}]


def test_a_test_interval_ends_in_order(bucket: Bucket, spool: Spool, schema: Path, start: Start) -> None:
    spool.write(f"{DAY}/x.json", b'{"UUID":"x"}', datatype="annotation2")
    pusher = start(alone=words(spool, bucket, schema, "-test-interval=300ms"))
    assert pusher.ended() == 0, pusher.said
    assert len(lines(bucket)) == 1


def test_one_process_archives_files_and_lines(bucket: Bucket, spool: Spool, schema: Path, start: Start) -> None:
    spool.write(f"{DAY}/x.json", b'{"UUID":"line"}', datatype="annotation2")
    spool.write(f"{DAY}/x.json", b"file")
    more = ("-autoload=annotation2", f"-datatype-schema-file=annotation2:{schema}", "-bundle-age-max=200ms")
    pusher = start("-datatype=ndt7", *more, *AT_ONCE).ready()
    pusher.until(lambda: not spool.files(), "no file is left")
    assert pusher.stop() == 0
    assert [line["Raw"] for line in lines_and_others(bucket)] == [{"UUID": "line"}]
    assert sum(name.endswith(".tgz") for name in bucket.names()) == 1


def test_a_store_that_hangs_over_a_table_keeps_no_file_of_others_and_not_the_end(
    bucket: Bucket, spool: Spool, schema: Path, start: Start
) -> None:
    bucket.fault(match={"path": "table.json"}, slow_bps=1, times=-1)
    spool.write(f"{DAY}/x.json", b'{"UUID":"line"}', datatype="annotation2")
    spool.write(f"{DAY}/x.json", b"file")
    more = ("-autoload=annotation2", f"-datatype-schema-file=annotation2:{schema}", "-bundle-age-max=200ms")
    pusher = start("-datatype=ndt7", *more, *AT_ONCE).ready()
    pusher.until(lambda: spool.files() == [f"annotation2/{DAY}/x.json"], "the other datatype's file is stored")
    assert pusher.stop() == 1
    assert "annotation2: its table could not be described; all its files are on the disk" in pusher.said
    bucket.heal()


def lines_and_others(bucket: Bucket) -> list[dict[str, Any]]:
    """Lines, where files are archived, too."""
    found = []
    for name in bucket.names():
        if name.endswith("-data.jsonl.gz"):
            found += [json.loads(line) for line in gzip.decompress(bucket.read(name)).split(b"\n")]
    return found
