"""Many writers at once: of those that race for one thing one wins, and what the others did is lost to nobody."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import requests
from google.cloud import storage

from tests.objectstore.test_resumable import send, session
from tests.objectstore.wire import Wire, bucket_path, done, object_path

WRITERS = 16
T = TypeVar("T")
Call = Callable[[Wire, dict[str, Any]], requests.Response]


def race(wire: Wire, run: Callable[[Wire, int], T]) -> list[T]:
    """Let sixteen do the same at once, each over a connection of its own."""
    with ThreadPoolExecutor(WRITERS) as threads:
        return list(threads.map(lambda number: run(Wire(wire.url), number), range(WRITERS)))


def won(answers: list[requests.Response]) -> list[int]:
    """Numbers of those that succeeded; the others were refused for the condition, or found the object deleted."""
    assert {answer.status_code for answer in answers} <= {200, 204, 412, 404}
    return [number for number, answer in enumerate(answers) if answer.ok]


@pytest.mark.parametrize("size", [10, 100_000])
def test_one_of_many_creates_an_object(wire: Wire, bucket: storage.Bucket, size: int) -> None:
    for turn in range(10):
        name = f"lock-{turn}"

        def create(own: Wire, number: int, name: str = name) -> requests.Response:
            return own.upload(bucket.name, name, bytes([number]) * size, {"ifGenerationMatch": 0})

        (winner,) = won(race(wire, create))
        assert wire.read(bucket.name, name).content == bytes([winner]) * size


def test_one_of_many_replaces_patches_copies_and_deletes_a_generation(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "source", b"data")
    path, source = object_path(bucket.name, "a"), object_path(bucket.name, "source")
    calls: list[Call] = [
        lambda own, query: own.upload(bucket.name, "a", b"new", query),
        lambda own, query: own.call("POST", f"{source}/rewriteTo{path.removeprefix('/storage/v1')}", query),
        lambda own, query: own.call("DELETE", path, query),
    ]
    for call in calls:
        query = {"ifGenerationMatch": wire.put(bucket.name, "a", b"old")["generation"]}

        def contend(own: Wire, _: int, call: Call = call, query: dict[str, Any] = query) -> requests.Response:
            return call(own, query)

        assert len(won(race(wire, contend))) == 1
    wire.put(bucket.name, "a", b"old")
    patch = {"metadata": {"k": "v"}}
    assert (
        len(won(race(wire, lambda own, _: own.call("PATCH", path, {"ifMetagenerationMatch": 1}, document=patch)))) == 1
    )


def test_a_counter_that_is_read_and_written_under_a_condition_loses_no_step(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "counter", b"0")

    def count(own: Wire, _: int) -> None:
        for _turn in range(3):
            while True:
                read = own.read(bucket.name, "counter")
                query = {"ifGenerationMatch": read.headers["X-Goog-Generation"]}
                if own.upload(bucket.name, "counter", str(int(read.content) + 1).encode(), query).ok:
                    break

    race(wire, count)
    assert wire.read(bucket.name, "counter").content == str(3 * WRITERS).encode()


def test_grants_that_are_added_under_the_etag_are_all_there(wire: Wire, bucket: storage.Bucket) -> None:
    path = f"{bucket_path(bucket.name)}/iam"

    def grant(own: Wire, number: int) -> None:
        while True:
            policy = done(own.call("GET", path, {"optionsRequestedPolicyVersion": 3}))
            binding = {"role": f"roles/storage.r{number}", "members": [f"user:u{number}@measurement-lab.test"]}
            answer = own.call("PUT", path, document={**policy, "bindings": [*policy["bindings"], binding]})
            if answer.ok:
                return
            assert answer.status_code == 412

    race(wire, grant)
    roles = {binding["role"] for binding in done(wire.call("GET", path))["bindings"]}
    assert {f"roles/storage.r{number}" for number in range(WRITERS)} <= roles


def test_readers_see_one_whole_content_or_another(wire: Wire, bucket: storage.Bucket) -> None:
    """Contents of both kinds, in the database and in files, under one name."""
    sizes = [10, 100_000]
    wire.put(bucket.name, "a", bytes([0]) * sizes[0])

    def work(own: Wire, number: int) -> None:
        for turn in range(12):
            if number % 2:
                own.put(bucket.name, "a", bytes([number]) * sizes[turn % 2])
                continue
            content = own.read(bucket.name, "a").content
            assert len(content) in sizes and len(set(content)) == 1

    race(wire, work)


def test_a_session_takes_one_call_at_a_time(wire: Wire, bucket: storage.Bucket) -> None:
    place, data = session(wire, bucket.name), bytes(range(256)) * 4000
    made = race(wire, lambda own, _: done(send(own, place, data, f"bytes 0-{len(data) - 1}/{len(data)}")))
    assert len({each["generation"] for each in made}) == 1
    assert wire.read(bucket.name, "a").content == data


def test_the_client_in_many_threads(client: storage.Client, bucket: storage.Bucket) -> None:
    def put(number: int) -> None:
        client.bucket(bucket.name).blob(f"o/{number:03}").upload_from_string(str(number), checksum="crc32c")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, range(100)))
    assert [blob.name for blob in client.list_blobs(bucket.name, page_size=7)] == [f"o/{n:03}" for n in range(100)]
