"""Failures on demand: what a test asks for happens, so often and to such calls as it says, and is survived."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from tests.objectstore.wire import Wire, bucket_path, done, object_path, reason

LOST = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


@pytest.fixture(autouse=True)
def healthy(wire: Wire) -> Iterator[None]:
    """No fault outlives its test: the store is shared."""
    yield
    done(wire.call("DELETE", "/_control/faults"))


def fault(wire: Wire, bucket: str, **effect: Any) -> None:
    match = {"bucket": bucket, **effect.pop("match", {})}
    done(wire.call("POST", "/_control/faults", document={"match": match, **effect}))


def statuses(wire: Wire, bucket: str, calls: int) -> list[int]:
    return [wire.call("GET", f"{bucket_path(bucket)}/o").status_code for _ in range(calls)]


def test_a_fault_passes_the_first_and_hits_so_many(wire: Wire, bucket: storage.Bucket) -> None:
    fault(wire, bucket.name, status=503, skip=1, times=2)
    assert statuses(wire, bucket.name, 5) == [200, 503, 503, 200, 200]
    (shown,) = done(wire.call("GET", "/_control/faults"))["faults"]
    assert (shown["hits"], shown["times"], shown["status"]) == (2, 0, 503)


def test_a_fault_for_ever_ends_when_it_is_cleared(wire: Wire, bucket: storage.Bucket) -> None:
    fault(wire, bucket.name, status=500, times=-1)
    assert statuses(wire, bucket.name, 4) == [500] * 4
    done(wire.call("DELETE", "/_control/faults"))
    assert statuses(wire, bucket.name, 1) == [200]


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({"method": "get"}, True),
        ({"method": "PUT"}, False),
        ({"object": "folder/ä"}, True),
        ({"object": "folder"}, False),
        ({"path": "/o/folder/ä\\?.*alt=media"}, True),
        ({"path": "^/upload"}, False),
        ({"bucket": "another"}, False),
    ],
)
def test_a_fault_hits_the_calls_that_it_matches(
    wire: Wire, bucket: storage.Bucket, match: dict[str, str], hit: bool
) -> None:
    wire.put(bucket.name, "folder/ä", b"data")
    fault(wire, bucket.name, status=429, match=match)
    assert wire.read(bucket.name, "folder/ä").status_code == (429 if hit else 200)


def test_a_refusal_is_as_the_fault_says(wire: Wire, bucket: storage.Bucket) -> None:
    fault(wire, bucket.name, status=429, retry_after=7)
    fault(wire, bucket.name, status=503, reason="slowDown")
    fault(wire, bucket.name, status=502, body="<html>rubbish")
    path = f"{bucket_path(bucket.name)}/o"
    first, second, third = (wire.call("GET", path) for _ in range(3))
    assert (first.headers["Retry-After"], reason(first)) == ("7", "rateLimitExceeded")
    assert reason(second) == "slowDown" and third.text == "<html>rubbish"


def test_a_write_may_be_carried_out_and_its_answer_lost(wire: Wire, bucket: storage.Bucket) -> None:
    fault(wire, bucket.name, after_write=True)
    with pytest.raises(LOST):
        wire.upload(bucket.name, "a", b"data")
    fault(wire, bucket.name, after_write=True, status=500)
    assert wire.upload(bucket.name, "b", b"data").status_code == 500
    fault(wire, bucket.name, drop=True)
    with pytest.raises(LOST):
        wire.upload(bucket.name, "c", b"data")
    fault(wire, bucket.name, status=500)
    assert wire.upload(bucket.name, "d", b"data").status_code == 500
    assert wire.names(bucket.name) == ["a", "b"]


# The client drops the streamed answers that it asks anew for, without closing them.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
def test_the_client_recovers_from_what_passes(bucket: storage.Bucket, wire: Wire) -> None:
    bucket.blob("a").upload_from_string(b"data")
    fault(wire, bucket.name, status=503, times=2)
    fault(wire, bucket.name, drop=True)
    assert bucket.blob("a").download_as_bytes() == b"data"
    fault(wire, bucket.name, status=403)
    with pytest.raises(exceptions.Forbidden):
        bucket.blob("a").download_as_bytes()


def test_the_client_asks_for_nothing_that_it_is_not_told_to_ask_for(client: storage.Client, wire: Wire) -> None:
    wire.make_bucket("unread")
    bucket = client.bucket("unread")
    before = set(threading.enumerate())
    fault(wire, bucket.name, match={"method": "GET", "path": r"/b/unread(\?|$)"}, status=403, times=-1)
    bucket.blob("a").upload_from_string(b"data")
    assert [blob.name for blob in bucket.list_blobs()] == ["a"]
    for late in set(threading.enumerate()) - before:
        late.join()
    (shown,) = done(wire.call("GET", "/_control/faults"))["faults"]
    assert shown["hits"] == 0


def test_the_client_goes_on_with_an_upload_whose_chunk_was_lost(bucket: storage.Bucket, wire: Wire) -> None:
    data = bytes(range(256)) * 4096
    for effect in ({"status": 503}, {"after_write": True, "status": 503}):
        fault(wire, bucket.name, match={"method": "PUT"}, skip=1, **effect)
        blob = bucket.blob("a", chunk_size=256 * 1024)
        with blob.open("wb") as file:
            file.write(data)
        assert bucket.blob("a").download_as_bytes() == data
    hits = [each["hits"] for each in done(wire.call("GET", "/_control/faults"))["faults"]]
    assert hits == [1, 1]


def test_a_torn_answer_is_noticed(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "a", bytes(100_000))
    fault(wire, bucket.name, truncate=1000)
    with pytest.raises(LOST):
        wire.read(bucket.name, "a")
    assert len(wire.read(bucket.name, "a").content) == 100_000


@pytest.mark.parametrize("effect", [{"delay_s": 0.2}, {"slow_bps": 50_000}])
def test_an_answer_may_be_slow_and_is_whole(wire: Wire, bucket: storage.Bucket, effect: dict[str, float]) -> None:
    wire.put(bucket.name, "a", bytes(10_000))
    fault(wire, bucket.name, **effect)
    began = time.monotonic()
    assert wire.read(bucket.name, "a").content == bytes(10_000)
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"match": {"method": "GET"}},
        {"status": "503"},
        {"status": True},
        {"drop": 1},
        {"status": 503, "times": "2"},
        {"status": 503, "match": "all"},
        {"status": 503, "match": {"path": "("}},
        {"status": 503, "match": {"colour": "red"}},
        {"status": 503, "match": {"method": 7}},
        {"status": 503, "unknown": 1},
    ],
    ids=str,
)
def test_a_fault_that_makes_no_sense_is_refused(wire: Wire, bucket: storage.Bucket, document: Any) -> None:
    assert wire.call("POST", "/_control/faults", document=document).status_code == 400
    assert statuses(wire, bucket.name, 1) == [200]


def test_no_fault_hits_the_controls_and_the_health_check(wire: Wire) -> None:
    done(wire.call("POST", "/_control/faults", document={"status": 500, "match": {"path": "_control|healthz"}}))
    assert wire.call("GET", "/healthz").ok and wire.call("GET", "/_control/faults").ok


def test_a_batch_is_hit_call_by_call(wire: Wire, client: storage.Client, bucket: storage.Bucket) -> None:
    blobs = [bucket.blob(name) for name in ("a", "b", "c")]
    for blob in blobs:
        blob.upload_from_string(b"data")
    fault(wire, bucket.name, match={"object": "b", "method": "DELETE"}, status=503)
    with pytest.raises(exceptions.ServiceUnavailable), client.batch():
        for blob in blobs:
            blob.delete()
    assert wire.names(bucket.name) == ["b"]
    assert wire.call("DELETE", object_path(bucket.name, "b")).ok
