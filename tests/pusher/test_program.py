"""The program and the real object store: closed files, bundles, proof, deletion, and the end."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from node.pusher import faults
from tests.pusher.conftest import AT_ONCE, DAY, Bucket, Spool, Start


def test_closed_files_are_stored_and_then_deleted(bucket: Bucket, spool: Spool, start: Start) -> None:
    wanted = {f"{DAY}/early.json": b"written before the start", f"{DAY}/empty.json": b""}
    for name, data in wanted.items():
        spool.write(name, data)
    pusher = start(*AT_ONCE).ready()
    for n in range(20):
        spool.write(f"{DAY}/{n}.json", b"x" * n)
        wanted[f"{DAY}/{n}.json"] = b"x" * n
    pusher.until(lambda: not spool.files(), "no file is left")
    assert sorted(bucket.members()) == sorted(wanted.items())
    form = re.compile(rf"ndt/ndt7/{DAY}/\d{{8}}T\d{{6}}\.\d{{6}}Z-ndt7-mlab1-abc01-ndt\.tgz")
    assert all(form.fullmatch(name) for name in bucket.names())
    assert pusher.metric("pusher_files_added_total") == pusher.metric("pusher_files_removed_total") == len(wanted)
    assert pusher.metric("pusher_tarfiles_successful_uploads_total") == len(bucket.names())
    assert pusher.stop() == 0
    assert spool.state() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_uploads_all_and_leaves_as_soon_as_nothing_is_left(
    bucket: Bucket, spool: Spool, start: Start, number: int
) -> None:
    (spool.folder / "pcap").mkdir()
    pusher = start("-datatype=ndt7", "-datatype=pcap").ready()
    for n in range(5):
        spool.write(f"2026/11/{n + 10}/x.json", b"%d" % n)
        spool.write(f"{DAY}/{n}", b"p%d" % n, datatype="pcap")
    assert pusher.stop(number) == 0
    assert len(bucket.names()) == 6
    assert spool.files() == spool.state() == spool.state("pcap") == []


def test_files_that_are_open_stay(bucket: Bucket, spool: Spool, start: Start) -> None:
    spool.write(f"{DAY}/closed", b"1")
    with spool.write(f"{DAY}/open", b"2").open("ab") as file:
        pusher = start(*AT_ONCE).ready()
        pusher.until(lambda: len(bucket.names()) == 1, "a bundle is stored")
        file.write(b"3")
    pusher.until(lambda: not spool.files(), "no file is left")
    assert sorted(bucket.members()) == [(f"{DAY}/closed", b"1"), (f"{DAY}/open", b"23")]


@pytest.mark.parametrize(
    "point",
    [
        *("content-after-write", "journal-half-written", "journal-after-fsync", "upload-after", "stored-after-write"),
        *("member-after-unlink", "content-after-unlink", "journal-after-unlink"),
    ],
)
def test_a_kill_at_any_point_loses_nothing_and_doubles_nothing(
    bucket: Bucket, spool: Spool, start: Start, point: str
) -> None:
    wanted = [(f"{DAY}/{n}.json", os.urandom(100)) for n in range(3)]
    for name, data in wanted:
        spool.write(name, data)
    killed = start(*AT_ONCE, env={"MLAB_FAULT_AT": f"{point}:0"})
    assert killed.ended() == -signal.SIGKILL, killed.said
    stored = dict(bucket.members())
    gone = {name for name, _ in wanted} - {name.removeprefix("ndt7/") for name in spool.files()}
    assert gone <= stored.keys(), "deleted before it was stored"
    pusher = start(*AT_ONCE).ready()
    pusher.until(lambda: not spool.files() and not spool.state(), "neither a file nor a journal is left")
    assert sorted(bucket.members()) == wanted
    assert pusher.stop() == 0


def test_every_fault_point_that_is_called_is_listed_and_the_other_way_round() -> None:
    source = "".join(path.read_text() for path in Path(faults.__file__).parent.glob("*.py"))
    assert sorted(re.findall(r'faults\.point\("([a-z-]+)"\)', source)) == sorted(faults.POINTS)
