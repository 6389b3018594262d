"""What a datatype's lane does with files, bundles, and a store that does not answer as it should."""

from __future__ import annotations

import dataclasses
import gzip
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from node.pusher import inbox, journal, names, sampling, tar, upload
from tests import faultproxy, waiting
from tests.pusher.conftest import DAY, Bucket, Spool
from tests.pusher.lanes import SOON, Begin, begin, datatype


def test_each_day_has_a_bundle_of_its_own_and_timers_fire_once_each(bucket: Bucket, spool: Spool, lane: Begin) -> None:
    running = lane(wait=SOON)
    for turn in range(2):
        for day in ("2026/11/20", "2026/11/21", "2026/11"):
            name = f"{day}/{turn}.json"
            spool.write(name, name.encode())
            running.offer(name)
        running.reaches("tarfiles_successful_uploads_total", 3 * (turn + 1))
    running.finish()
    assert len(bucket.names()) == 6
    assert running.count("tarfiles_upload_calls_total", reason="age_threshold_met") == 6
    assert all(name.split("/", 2)[2].startswith("2026/11") for name in bucket.names())


def test_a_small_file_offered_twice_is_one_member_and_a_large_one_ends_the_bundle(
    bucket: Bucket, spool: Spool, lane: Begin
) -> None:
    bucket.fault(match={"method": "POST"}, status=503, times=1)
    running = lane(threshold=20_000)
    small, large = b"small", random.Random(1).randbytes(40_000)
    stamp = 1_700_000_000_123_456_789
    for name, data in ((f"{DAY}/tiny", small), (f"{DAY}/big", large)):
        os.utime(spool.write(name, data), ns=(stamp, stamp))
    running.offer(f"{DAY}/tiny", f"{DAY}/tiny", f"{DAY}/big")
    running.reaches("tarfiles_successful_uploads_total", 1)
    waiting.until(lambda: not spool.files(), "no file is left", told=spool.files)
    assert bucket.members() == [(f"{DAY}/tiny", small), (f"{DAY}/big", large)]
    assert running.count("tarfiles_duplicates_total", condition="add_file") == 1
    assert running.count("tarfiles_upload_calls_total", reason="size_threshold_met") == 1
    assert running.count("retries_total", function="upload") == 1
    spool.write(f"{DAY}/after", b"usable")
    running.offer(f"{DAY}/after")
    running.finish()
    assert (f"{DAY}/after", b"usable") in bucket.members()


def test_a_bundle_has_no_more_than_so_many_files(bucket: Bucket, spool: Spool, lane: Begin) -> None:
    running = lane(max_members=10)
    wanted = [f"{DAY}/{n:03d}" for n in range(35)]
    for name in wanted:
        spool.write(name, b"x")
    running.offer(*wanted)
    running.finish()
    assert running.count("files_per_tarfile_count") == 4 and running.count("files_per_tarfile_sum") == 35
    assert sorted(name for name, _ in bucket.members()) == wanted


def test_sampling_deletes_what_it_leaves_out_and_nothing_else(bucket: Bucket, spool: Spool, lane: Begin) -> None:
    running = lane(ratio=0.3)
    wanted = [f"{DAY}/{n:03d}.json" for n in range(60)]
    for name in wanted:
        spool.write(name, b"x")
    running.offer(*wanted)
    running.finish()
    chosen = [name for name in wanted if sampling.chosen(name, 0.3)]
    assert sorted(name for name, _ in bucket.members()) == chosen
    assert (
        running.count("files_skipped_total")
        == 60 - len(chosen)
        == running.count("files_removed_total", condition="skip_file")
    )
    assert spool.files() == []


def test_a_datatype_of_which_nothing_is_wanted_stores_nothing(bucket: Bucket, spool: Spool, lane: Begin) -> None:
    running = lane(ratio=0.0)
    spool.write(f"{DAY}/x", b"x")
    running.offer(f"{DAY}/x")
    running.finish()
    assert bucket.names() == spool.files() == []


def test_a_member_that_somebody_else_deletes_is_no_error(bucket: Bucket, spool: Spool, lane: Begin) -> None:
    running = lane()
    paths = [spool.write(f"{DAY}/{n}", b"x") for n in range(3)]
    running.offer(*(f"{DAY}/{n}" for n in range(3)))
    running.reaches("files_added_total", 3)
    paths[1].unlink()
    running.finish()
    assert len(bucket.members()) == 3
    assert running.count("file_remove_errors_total") == 0 and spool.files() == []


def test_a_file_that_changes_after_it_was_packed_is_packed_anew(bucket: Bucket, spool: Spool, lane: Begin) -> None:
    running = lane()
    path = spool.write(f"{DAY}/x", b"first")
    running.offer(f"{DAY}/x")
    running.reaches("files_added_total", 1)
    with path.open("ab") as file:
        file.write(b" and more")
    running.finish()
    assert bucket.members() == [(f"{DAY}/x", b"first"), (f"{DAY}/x", b"first and more")]
    assert spool.files() == []


def test_a_file_that_is_renamed_after_it_was_packed_is_stored_once(bucket: Bucket, spool: Spool, lane: Begin) -> None:
    running = lane()
    path = spool.write(f"{DAY}/x.tmp", b"once")
    running.offer(f"{DAY}/x.tmp")
    running.reaches("files_added_total", 1)
    path.rename(path.with_name("x"))
    running.offer(f"{DAY}/x")
    running.finish()
    assert bucket.members() == [(f"{DAY}/x.tmp", b"once")]
    assert spool.files() == []


@pytest.mark.parametrize("instead", ["nothing", "a file", "a link"])
def test_a_file_whose_folder_is_replaced_after_it_was_packed_is_stored_once(
    bucket: Bucket, spool: Spool, lane: Begin, instead: str
) -> None:
    running = lane()
    path = spool.write(f"{DAY}/x", b"once")
    moved = path.parents[1] / "21" / "x"
    moved.parent.mkdir()
    running.offer(f"{DAY}/x")
    running.reaches("files_added_total", 1)
    path.rename(moved)
    path.parent.rmdir()
    if instead == "a file":
        path.parent.touch()
    elif instead == "a link":
        path.parent.symlink_to("21")
    running.offer("2026/11/21/x")
    running.finish()
    assert bucket.members() == [(f"{DAY}/x", b"once")]
    assert not moved.exists()


def test_a_file_that_is_renamed_right_after_its_close_has_its_last_name(
    bucket: Bucket, spool: Spool, lane: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "REST_S", 60)  # a busy machine may take long for what follows
    running = lane()
    path = spool.write(f"{DAY}/x.tmp", b"once")
    running.offer(f"{DAY}/x.tmp")
    path.rename(path.with_name("x"))
    running.offer(f"{DAY}/x")
    running.finish()
    assert bucket.members() == [(f"{DAY}/x", b"once")]


def test_hard_links_are_files_of_their_own(bucket: Bucket, spool: Spool, lane: Begin) -> None:
    running = lane()
    path = spool.write(f"{DAY}/a", b"two names")
    path.with_name("b").hardlink_to(path)
    running.offer(f"{DAY}/a", f"{DAY}/b")
    running.finish()
    assert bucket.members() == [(f"{DAY}/a", b"two names"), (f"{DAY}/b", b"two names")]
    assert spool.files() == []


def test_another_file_of_the_same_name_is_never_deleted_for_the_first(
    bucket: Bucket, spool: Spool, lane: Begin
) -> None:
    running = lane()
    path = spool.write(f"{DAY}/x", b"first")
    running.offer(f"{DAY}/x")
    running.reaches("files_added_total", 1)
    spool.write(f"{DAY}/new", b"secnd").rename(path)
    running.offer(f"{DAY}/x")
    running.finish()
    assert bucket.members() == [(f"{DAY}/x", b"first"), (f"{DAY}/x", b"secnd")]


@pytest.mark.parametrize(
    "effect",
    [
        {"drop": True},
        {"after_write": True},
        {"after_write": True, "status": 503},
        {"status": 500},
        {"status": 503, "body": "<html>busy"},
        {"status": 403},
        {"status": 404},
        {"truncate": 5},
        {"status": 200, "body": "<html>welcome"},
        {"status": 412},
    ],
    ids=str,
)
def test_whatever_the_store_answers_the_bundle_is_there_once(
    bucket: Bucket, spool: Spool, lane: Begin, effect: dict[str, Any]
) -> None:
    bucket.fault(match={"path": "/upload/"}, times=2, **effect)
    running = lane()
    spool.write(f"{DAY}/x", b"once")
    running.offer(f"{DAY}/x")
    running.finish()
    assert bucket.members() == [(f"{DAY}/x", b"once")]
    assert len(bucket.names()) == 1
    assert spool.files() == spool.state() == []


@pytest.mark.parametrize("name", ["html", "empty", "other json", "json list", "404 page", "500", "down"])
def test_whether_an_object_is_there_only_the_store_may_say(
    bucket: Bucket, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faultproxy.FaultProxy(bucket.wire.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        client = upload.Bucket(bucket.name, 10, 8)
        assert client.has("x", 1, 0) is False
        proxy.fault = faultproxy.BAD_ANSWERS[name][0]
        with pytest.raises(upload.Failed):
            client.has("x", 1, 0)
        client.close()


SPOILT = ("html", "truncated", "empty", "other json", "json list", "down", "500")


@pytest.mark.parametrize("forward", [False, True], ids=["not carried out", "carried out"])
@pytest.mark.parametrize("name", SPOILT)
def test_an_answer_from_something_else_proves_nothing(
    bucket: Bucket, spool: Spool, name: str, forward: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faultproxy.FaultProxy(bucket.wire.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        client = upload.Bucket(bucket.name, 10, 8)
        running = begin(datatype(spool), client)
        spool.write(f"{DAY}/x", b"once")
        proxy.fault = dataclasses.replace(faultproxy.BAD_ANSWERS[name][0], times=3, forward=forward)
        running.offer(f"{DAY}/x")
        running.finish()
        assert bucket.members() == [(f"{DAY}/x", b"once")]
        assert spool.files() == []
        client.close()


@pytest.mark.parametrize("step", ["seal", "stored"])
def test_what_the_journal_refuses_once_is_done_again(
    bucket: Bucket, spool: Spool, lane: Begin, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(journal.Journal, step)
    refusals = iter([OSError(24, "Too many open files")] * 3)

    def refuses(self: journal.Journal, entry: journal.Entry) -> None:
        if error := next(refusals, None):
            raise error
        real(self, entry)

    monkeypatch.setattr(journal.Journal, step, refuses)
    running = lane()
    spool.write(f"{DAY}/x", b"once")
    running.offer(f"{DAY}/x")
    running.finish()
    assert bucket.members() == [(f"{DAY}/x", b"once")]
    assert running.count("retries_total") == 3 and spool.files() == spool.state() == []


@pytest.mark.parametrize("damage", ["gone", "empty", "longer"])
def test_a_bundle_that_the_disk_loses_while_it_waits_is_packed_again(
    bucket: Bucket, spool: Spool, lane: Begin, damage: str
) -> None:
    bucket.fault(match={"path": "/upload/"}, times=-1, status=503)
    running = lane(wait=SOON)
    spool.write(f"{DAY}/x", b"once")
    running.offer(f"{DAY}/x")
    running.reaches("retries_total", 1)
    (content,) = (spool.folder / ".pusher/ndt7").glob("*.tgz")
    if damage == "gone":
        content.unlink()
    else:
        content.write_bytes(b"" if damage == "empty" else content.read_bytes() + b"x")
    bucket.heal()
    running.finish()
    assert bucket.members() == [(f"{DAY}/x", b"once")]
    assert spool.files() == spool.state() == []


def test_retry_after_is_obeyed(bucket: Bucket, spool: Spool, lane: Begin) -> None:
    bucket.fault(match={"path": "/upload/"}, times=1, status=429, retry_after=2)
    running = lane()
    spool.write(f"{DAY}/x", b"x")
    began = time.monotonic()
    running.offer(f"{DAY}/x")
    running.finish()
    assert time.monotonic() - began >= 2
    assert len(bucket.names()) == 1


class Stubborn(upload.Bucket):
    """A real one that does not get one day's objects through: it fails, or hangs, until it is told to go on."""

    def __init__(self, name: str, *, hangs: bool) -> None:
        super().__init__(name, 60, 8)
        self.hangs, self.goes_on = hangs, threading.Event()

    def put(self, name: str, file: Any, size: int, crc32c: int, content_type: str) -> None:
        if "2026/11/21" in name and not self.goes_on.wait(60 if self.hangs else 0):
            raise upload.Failed("no", temporary=True)
        super().put(name, file, size, crc32c, content_type)


@pytest.mark.parametrize("hangs", [False, True])
def test_an_object_that_cannot_be_stored_keeps_no_others_from_it(
    bucket: Bucket, spool: Spool, hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.wire.url)
    client = Stubborn(bucket.name, hangs=hangs)
    running = begin(datatype(spool, wait=SOON), client)
    for day in ("2026/11/21", "2026/11/20", "2026/11/22", "2026/11/23", "2026/11/24"):
        for n in range(3):
            spool.write(f"{day}/{n}", day.encode())
            running.offer(f"{day}/{n}")
    waiting.until(lambda: len(spool.files()) == 3, "three files are left", told=spool.files)
    assert {name.rpartition("/")[0] for name in spool.files()} == {"ndt7/2026/11/21"}
    client.goes_on.set()
    running.finish()
    assert len(bucket.members()) == 15 and spool.files() == []
    client.close()


def test_a_store_that_drips_is_given_up_in_time(bucket: Bucket, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.wire.url)
    bucket.fault(match={"path": "/upload/"}, times=1, slow_bps=1)
    client = upload.Bucket(bucket.name, 10.0, 8)
    running = begin(datatype(spool), client)
    spool.write(f"{DAY}/x", b"x")
    began = time.monotonic()
    running.offer(f"{DAY}/x")
    running.finish()
    assert time.monotonic() - began < 120  # a byte a second would take longer
    assert running.count("retries_total") == 1
    assert bucket.members() == [(f"{DAY}/x", b"x")]
    client.close()


def test_a_name_that_another_content_has_gets_the_bundle_another_one(
    bucket: Bucket, spool: Spool, lane: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([7_000_000])
    real = names.Stamps.next
    running = lane()
    monkeypatch.setattr(names.Stamps, "next", lambda self: next(given, None) or real(self))
    taken = names.tar("ndt", "ndt7", DAY, 7_000_000, "mlab1-abc01")
    monkeypatch.setattr(tar.Format, "names", _first_named(taken, tar.Format.names))
    bucket.wire.put(bucket.name, taken, b"somebody else's")
    spool.write(f"{DAY}/x", b"ours")
    running.offer(f"{DAY}/x")
    running.finish()
    assert bucket.read(taken) == b"somebody else's"
    (ours,) = set(bucket.names()) - {taken}
    assert b"ours" in gzip.decompress(bucket.read(ours))
    assert running.count("bundles_repacked_total") == 1 and spool.files() == []


def _first_named(name: str, real: Callable[..., tuple[str, ...]]) -> Callable[..., tuple[str, ...]]:
    given = iter([(name,)])
    return lambda self, key, us: next(given, None) or real(self, key, us)


@pytest.mark.parametrize("size", [9 << 20, 20 << 20])
def test_a_large_bundle_goes_in_chunks_and_arrives_whole(bucket: Bucket, spool: Spool, lane: Begin, size: int) -> None:
    bucket.fault(match={"method": "PUT"}, times=1, status=503)
    running = lane()
    data = random.Random(9).randbytes(size)
    spool.write(f"{DAY}/large", data)
    running.offer(f"{DAY}/large")
    running.finish()
    assert bucket.members() == [(f"{DAY}/large", data)]
