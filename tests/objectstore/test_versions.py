"""Generations that stay: with versioning an overwrite or a deletion loses nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.cloud import storage

from tests.objectstore.wire import Wire, bucket_path, done, object_path

Make = Callable[..., storage.Bucket]


def generations(wire: Wire, bucket: str) -> list[tuple[str, bool]]:
    """Generation, and whether it is live, of everything in a bucket."""
    listed = done(wire.call("GET", f"{bucket_path(bucket)}/o", {"versions": "true"}))
    return [(item["generation"], "timeDeleted" not in item) for item in listed.get("items", ())]


@pytest.mark.parametrize("size", [10, 300_000])
def test_an_overwrite_keeps_the_former_content(wire: Wire, make_bucket: Make, size: int) -> None:
    bucket = make_bucket(versioning_enabled=True).name
    made = [wire.put(bucket, "a", bytes([number]) * size)["generation"] for number in range(3)]
    for number, generation in enumerate(made):
        assert wire.read(bucket, "a", {"generation": generation}).content == bytes([number]) * size
    assert wire.read(bucket, "a").content == b"\2" * size
    assert generations(wire, bucket) == [(made[0], False), (made[1], False), (made[2], True)]


def test_a_deletion_archives_and_one_by_generation_removes(wire: Wire, make_bucket: Make) -> None:
    bucket = make_bucket(versioning_enabled=True).name
    first, second = (wire.put(bucket, "a", text)["generation"] for text in (b"first", b"second"))
    path = object_path(bucket, "a")
    done(wire.call("DELETE", path))
    assert wire.call("GET", path).status_code == 404 == wire.call("DELETE", path).status_code
    assert generations(wire, bucket) == [(first, False), (second, False)]
    done(wire.call("DELETE", path, {"generation": first}))
    assert generations(wire, bucket) == [(second, False)]
    third = wire.put(bucket, "a", b"third", {"ifGenerationMatch": 0})["generation"]
    done(wire.call("DELETE", path, {"generation": third}))
    assert generations(wire, bucket) == [(second, False)]
    assert wire.call("DELETE", path, {"generation": third}).status_code == 404


def test_without_versioning_the_former_content_is_gone(wire: Wire, bucket: storage.Bucket) -> None:
    first, second = (wire.put(bucket.name, "a", text)["generation"] for text in (b"first", b"second"))
    assert wire.read(bucket.name, "a", {"generation": first}).status_code == 404
    assert generations(wire, bucket.name) == [(second, True)]
    done(wire.call("DELETE", object_path(bucket.name, "a")))
    assert generations(wire, bucket.name) == []


def test_versions_that_are_there_stay_when_versioning_ends(wire: Wire, make_bucket: Make) -> None:
    bucket = make_bucket(versioning_enabled=True).name
    first, second = (wire.put(bucket, "a", text)["generation"] for text in (b"first", b"second"))
    done(wire.call("PATCH", bucket_path(bucket), document={"versioning": {"enabled": False}}))
    third = wire.put(bucket, "a", b"third")["generation"]
    assert generations(wire, bucket) == [(first, False), (third, True)] and second
    assert wire.call("DELETE", bucket_path(bucket)).status_code == 409


def test_a_noncurrent_generation_can_be_patched_and_restored(wire: Wire, make_bucket: Make) -> None:
    bucket = make_bucket(versioning_enabled=True).name
    first = wire.put(bucket, "a", b"first")["generation"]
    wire.put(bucket, "a", b"second")
    path = object_path(bucket, "a")
    changed = done(wire.call("PATCH", path, {"generation": first}, document={"metadata": {"k": "v"}}))
    assert (changed["generation"], changed["metageneration"]) == (first, "2")
    assert "metadata" not in wire.get(bucket, "a")
    done(wire.call("POST", f"{path}/copyTo{path.removeprefix('/storage/v1')}", {"sourceGeneration": first}))
    assert wire.read(bucket, "a").content == b"first" and len(generations(wire, bucket)) == 3


def test_a_move_archives_what_it_leaves_behind(wire: Wire, make_bucket: Make) -> None:
    bucket = make_bucket(versioning_enabled=True).name
    first = wire.put(bucket, "a", b"first")["generation"]
    moved = done(wire.call("POST", f"{object_path(bucket, 'a')}/moveTo/o/b"))["generation"]
    assert generations(wire, bucket) == [(first, False), (moved, True)]
    assert wire.names(bucket) == ["b"]


def test_the_client_lists_and_reads_versions(client: storage.Client, make_bucket: Make) -> None:
    bucket = make_bucket(versioning_enabled=True)
    for text in ("first", "second"):
        bucket.blob("a").upload_from_string(text)
    found = list(client.list_blobs(bucket, versions=True))
    assert [blob.download_as_text() for blob in found] == ["first", "second"]
    assert found[0].time_deleted is not None and found[1].time_deleted is None
    assert bucket.blob("a", generation=found[0].generation).download_as_text() == "first"
