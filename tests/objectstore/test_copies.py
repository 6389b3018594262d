"""Copies inside the service: rewrite, copy, move, compose and batch, onto others and onto themselves."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from tests.objectstore.test_uploads import crc32c
from tests.objectstore.wire import Wire, done, object_path
from tests.objectstore_process import ObjectStore

STEP = 1024 * 1024
SIZES = [10, 300_000]


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def target(source: str, call: str, bucket: str, name: str) -> str:
    return f"{source}/{call}{object_path(bucket, name).removeprefix('/storage/v1')}"


@pytest.mark.parametrize("size", SIZES)
def test_a_copy_has_the_content_and_the_metadata(
    bucket: storage.Bucket, make_bucket: Callable[..., storage.Bucket], size: int
) -> None:
    other = make_bucket()
    source = bucket.blob("folder/a")
    source.metadata, source.content_language = {"k": "v"}, "en"
    source.upload_from_string(content(size), content_type="text/x-test")
    bucket.copy_blob(source, other, "b/c")
    source.delete()
    copy = other.get_blob("b/c")
    assert copy.download_as_bytes() == content(size)
    assert (copy.metadata, copy.content_type, copy.content_language) == ({"k": "v"}, "text/x-test", "en")
    assert copy.metageneration == 1 and copy.crc32c == crc32c(content(size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("call", ["copyTo", "rewriteTo"])
@pytest.mark.parametrize("versioned", [False, True])
def test_a_copy_onto_itself_keeps_the_content(
    wire: Wire, make_bucket: Callable[..., storage.Bucket], size: int, call: str, versioned: bool
) -> None:
    """As the client does to change a storage class."""
    bucket = make_bucket(versioning_enabled=versioned)
    before = wire.put(bucket.name, "a", content(size))
    path = target(object_path(bucket.name, "a"), call, bucket.name, "a")
    done(wire.call("POST", path, document={"storageClass": "NEARLINE"}))
    after = wire.get(bucket.name, "a")
    assert int(after["generation"]) > int(before["generation"]) and after["storageClass"] == "NEARLINE"
    assert wire.read(bucket.name, "a").content == content(size)


def test_the_client_changes_a_storage_class(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(content(300_000))
    blob.update_storage_class("COLDLINE")
    found = bucket.get_blob("a")
    assert found.storage_class == "COLDLINE" and found.download_as_bytes() == content(300_000)


def test_given_metadata_replaces_that_of_the_source_as_a_whole(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "a", b"data", Content_Type="text/x-test")
    done(wire.call("PATCH", object_path(bucket.name, "a"), document={"metadata": {"k": "v"}, "contentLanguage": "en"}))
    path = target(object_path(bucket.name, "a"), "copyTo", bucket.name, "b")
    made = done(wire.call("POST", path, document={"metadata": {"other": "x"}}))
    assert made["metadata"] == {"other": "x"} and "contentLanguage" not in made
    assert made["contentType"] == "text/x-test"


def test_one_content_under_two_names_stays_until_both_are_gone(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "a", content(300_000))
    done(wire.call("POST", target(object_path(bucket.name, "a"), "copyTo", bucket.name, "b"), document={}))
    for gone, left in (("a", ["b"]), ("b", [])):
        assert wire.read(bucket.name, gone).content == content(300_000)
        done(wire.call("DELETE", object_path(bucket.name, gone)))
        assert wire.names(bucket.name) == left


def test_a_certain_generation_is_copied(wire: Wire, make_bucket: Callable[..., storage.Bucket]) -> None:
    bucket = make_bucket(versioning_enabled=True)
    first = wire.put(bucket.name, "a", b"first")
    wire.put(bucket.name, "a", b"second")
    path = target(object_path(bucket.name, "a"), "rewriteTo", bucket.name, "b")
    done(wire.call("POST", path, {"sourceGeneration": first["generation"]}))
    assert wire.read(bucket.name, "b").content == b"first"
    assert wire.call("POST", path, {"sourceGeneration": int(first["generation"]) - 1}).status_code == 404


@pytest.mark.parametrize("place", ["source", "source bucket", "target bucket"])
@pytest.mark.parametrize("call", ["copyTo", "rewriteTo"])
def test_a_copy_from_or_to_nowhere_is_404(wire: Wire, bucket: storage.Bucket, call: str, place: str) -> None:
    wire.put(bucket.name, "a", b"data")
    source = object_path("nowhere" if place == "source bucket" else bucket.name, "b" if place == "source" else "a")
    path = target(source, call, "nowhere" if place == "target bucket" else bucket.name, "c")
    assert wire.call("POST", path, document={}).status_code == 404
    assert wire.names(bucket.name) == ["a"]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A server that copies one MiB in a call."""
    store = ObjectStore(tmp_path_factory.mktemp("slow"), f"--rewrite-bytes={STEP}")
    store.start()
    try:
        wire = Wire(store.url)
        wire.make_bucket("slow")
        yield wire
    finally:
        store.stop()


def test_a_large_rewrite_takes_several_calls_and_shows_nothing_before_the_last(slow: Wire) -> None:
    data = content(2 * STEP + 1)
    slow.put("slow", "a", data)
    path, token, written = target(object_path("slow", "a"), "rewriteTo", "slow", "b"), None, []
    while True:
        answer = done(slow.call("POST", path, {"rewriteToken": token} if token else {}))
        written.append(int(answer["totalBytesRewritten"]))
        if answer["done"]:
            break
        assert "b" not in slow.names("slow") and answer["objectSize"] == str(len(data))
        token = answer["rewriteToken"]
    assert written == [STEP, 2 * STEP, len(data)]
    assert answer["resource"]["name"] == "b" and slow.read("slow", "b").content == data


def test_the_token_of_a_source_that_changed_is_void(slow: Wire) -> None:
    slow.put("slow", "c", content(STEP + 1))
    path = target(object_path("slow", "c"), "rewriteTo", "slow", "d")
    token = done(slow.call("POST", path))["rewriteToken"]
    slow.put("slow", "c", content(STEP + 2))
    assert slow.call("POST", path, {"rewriteToken": token}).status_code == 400
    assert "d" not in slow.names("slow")


@pytest.mark.parametrize("token", ["x", "!!", *(base64.b64encode(t).decode() for t in (b"7", b"[1]", b"\xff"))])
def test_a_token_of_somebody_elses_making_is_refused(slow: Wire, token: str) -> None:
    slow.put("slow", "e", content(STEP + 1))
    path = target(object_path("slow", "e"), "rewriteTo", "slow", "f")
    assert slow.call("POST", path, {"rewriteToken": token}).status_code == 400


@pytest.mark.parametrize(("limit", "status"), [(STEP, 200), (STEP - 1, 400), ("x", 400)])
def test_the_bytes_of_a_call_are_counted_in_mebibytes(slow: Wire, limit: object, status: int) -> None:
    slow.put("slow", "g", content(10))
    path = target(object_path("slow", "g"), "rewriteTo", "slow", "h")
    assert slow.call("POST", path, {"maxBytesRewrittenPerCall": limit}).status_code == status


def test_a_move_has_both_names_at_no_moment(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(content(300_000), content_type="text/x-test")
    bucket.move_blob(blob, "folder/ö b")
    assert [found.name for found in bucket.list_blobs()] == ["folder/ö b"]
    assert bucket.get_blob("folder/ö b").download_as_bytes() == content(300_000)
    with pytest.raises(exceptions.NotFound):
        bucket.move_blob(blob, "c")


def test_a_move_onto_itself_is_refused(wire: Wire, bucket: storage.Bucket) -> None:
    made = wire.put(bucket.name, "a", b"data")
    assert wire.call("POST", f"{object_path(bucket.name, 'a')}/moveTo/o/a").status_code == 400
    assert wire.get(bucket.name, "a") == made and wire.read(bucket.name, "a").content == b"data"


def test_the_client_renames(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"data")
    bucket.rename_blob(blob, "b")
    assert [found.name for found in bucket.list_blobs()] == ["b"]


@pytest.mark.parametrize("size", SIZES)
def test_the_client_composes_also_onto_a_component(bucket: storage.Bucket, size: int) -> None:
    first, second = bucket.blob("a"), bucket.blob("b")
    first.upload_from_string(content(size), content_type="text/x-test")
    second.upload_from_string(b"tail")
    first.compose([first, second, second], if_generation_match=first.generation)
    joined = bucket.get_blob("a")
    assert joined.download_as_bytes() == content(size) + b"tailtail"
    assert (joined.component_count, joined.content_type, joined.md5_hash) == (3, "text/x-test", None)
    assert second.exists()
    joined.compose([joined, second])
    assert bucket.get_blob("a").component_count == 4


def test_the_sources_of_a_composition_go_if_that_is_asked_for(bucket: storage.Bucket) -> None:
    for name in ("a", "b"):
        bucket.blob(name).upload_from_string(name)
    bucket.blob("c").compose([bucket.blob("a"), bucket.blob("b")], delete_source_objects=True)
    assert [found.name for found in bucket.list_blobs()] == ["c"]
    assert bucket.blob("c").download_as_bytes() == b"ab"


@pytest.mark.parametrize(
    ("sources", "status"),
    [
        ([], 400),
        ([{"name": "a"}] * 33, 400),
        ([{"name": "a"}] * 32, 200),
        ([{"name": "b"}], 404),
        ([{"name": "a", "generation": "7"}], 404),
        ([{"name": "a", "generation": "x"}], 400),
        ([{"name": "a", "objectPreconditions": {"ifGenerationMatch": "x"}}], 400),
        ([{"name": "a", "objectPreconditions": 7}], 400),
        (["a"], 400),
        ("a", 400),
    ],
)
def test_a_composition_is_of_1_to_32_objects_that_are_there(
    wire: Wire, bucket: storage.Bucket, sources: Any, status: int
) -> None:
    wire.put(bucket.name, "a", b"data")
    answer = wire.call("POST", f"{object_path(bucket.name, 'c')}/compose", document={"sourceObjects": sources})
    assert answer.status_code == status, answer.text
    assert ("c" in wire.names(bucket.name)) == (status == 200)


def test_the_client_sends_calls_in_a_batch(client: storage.Client, bucket: storage.Bucket) -> None:
    blobs = [bucket.blob(f"folder/{number}") for number in range(5)]
    for blob in blobs:
        blob.upload_from_string(b"data")
    with client.batch():
        for blob in blobs[:3]:
            blob.delete()
        blobs[3].metadata = {"k": "v"}
        blobs[3].patch()
    assert [found.name for found in bucket.list_blobs()] == ["folder/3", "folder/4"]
    assert bucket.get_blob("folder/3").metadata == {"k": "v"}
    with pytest.raises(exceptions.NotFound), client.batch():
        blobs[0].delete()
        blobs[4].delete()
    assert [found.name for found in bucket.list_blobs()] == ["folder/3"]


def test_each_call_of_a_batch_is_answered_for_itself(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "a", b"data")
    path = object_path(bucket.name, "a")
    calls = [
        ("GET", path, None),
        ("DELETE", f"{path}?ifGenerationMatch=7", None),
        ("PATCH", path, {"cacheControl": "x"}),
    ]
    answer = batch(wire, calls)
    assert answer.status_code == 200
    assert [line.split()[1] for line in answer.text.splitlines() if line.startswith("HTTP/1.1")] == [
        "200",
        "412",
        "200",
    ]
    assert wire.get(bucket.name, "a")["cacheControl"] == "x"


def batch(wire: Wire, calls: list[tuple[str, str, Any]]) -> requests.Response:
    """Each call as a part with the content id of its place."""
    body = ""
    for number, (method, path, document) in enumerate(calls):
        body += (
            f"--x\r\nContent-Type: application/http\r\nContent-ID: <id+{number}>\r\n\r\n{method} {path} HTTP/1.1\r\n"
        )
        body += "Content-Type: application/json\r\n\r\n" + ("" if document is None else json.dumps(document)) + "\r\n"
    headers = {"Content-Type": "multipart/mixed; boundary=x"}
    return wire.call("POST", "/batch/storage/v1", content=body + "--x--", headers=headers)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/mixed"])
def test_a_batch_without_parts_is_refused(wire: Wire, content_type: str) -> None:
    answer = wire.call("POST", "/batch/storage/v1", content=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == 400
