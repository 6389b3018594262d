"""Uploads in one request, by the official client and on the wire: what is stored is what was sent, or nothing is."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
from typing import Any

import google_crc32c
import pytest
from google.cloud import storage

from tests.objectstore.wire import Wire, bucket_path, done, object_path, reason

SIZES = [0, 1, 65536, 65537, 300_000]
"""On both sides of the size from which contents are files."""


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def multipart(wire: Wire, bucket: str, metadata: bytes, data: bytes, **query: str) -> Any:
    body = (
        b"--boundary\r\ncontent-type: application/json\r\n\r\n" + metadata + b"\r\n"
        b"--boundary\r\ncontent-type: text/plain\r\n\r\n" + data + b"\r\n--boundary--"
    )
    headers = {"Content-Type": 'multipart/related; boundary="boundary"'}
    path = f"/upload{bucket_path(bucket)}/o"
    return wire.call("POST", path, {"uploadType": "multipart", **query}, content=body, headers=headers)


@pytest.mark.parametrize("size", SIZES)
def test_the_client_reads_back_what_it_wrote(bucket: storage.Bucket, size: int) -> None:
    blob = bucket.blob("données/ä b?c#d%2F+.bin")
    blob.metadata, blob.cache_control = {"key": "värde"}, "private, max-age=0"
    blob.upload_from_string(content(size), content_type="application/x-test", checksum="md5")
    found = bucket.get_blob(blob.name)
    assert found.download_as_bytes(checksum="crc32c") == content(size) == found.download_as_bytes(checksum="md5")
    assert (found.size, found.crc32c, found.md5_hash) == (size, crc32c(content(size)), md5(content(size)))
    assert (found.content_type, found.metadata, found.cache_control) == (
        "application/x-test", {"key": "värde"}, "private, max-age=0")  # fmt: skip
    assert (found.metageneration, found.storage_class) == (1, "STANDARD")


@pytest.mark.parametrize("size", SIZES)
def test_a_simple_upload_takes_its_type_from_the_header(wire: Wire, bucket: storage.Bucket, size: int) -> None:
    made = wire.put(bucket.name, "a", content(size), Content_Type="text/x-test")
    assert (made["contentType"], made["size"], made["crc32c"]) == ("text/x-test", str(size), crc32c(content(size)))
    assert wire.read(bucket.name, "a").content == content(size)


@pytest.mark.parametrize("data", [b"", b"\r\n", b"x\r\n--boundary\r\ny", b"--boundary", content(70_000)])
def test_a_multipart_content_may_hold_what_looks_like_a_boundary(
    wire: Wire, bucket: storage.Bucket, data: bytes
) -> None:
    made = done(multipart(wire, bucket.name, b'{"name": "a"}', data))
    assert made["contentType"] == "text/plain"
    assert wire.read(bucket.name, "a").content == data


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("field", ["crc32c", "md5Hash"])
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_a_checksum_that_the_client_sends_must_agree(
    wire: Wire, bucket: storage.Bucket, size: int, field: str, right: bool
) -> None:
    data = content(size)
    sums = {"crc32c": crc32c(data), "md5Hash": md5(data)}
    given = sums[field] if right else {"crc32c": crc32c(b"other"), "md5Hash": md5(b"other")}[field]
    answer = multipart(wire, bucket.name, f'{{"name": "a", "{field}": "{given}"}}'.encode(), data)
    assert answer.status_code == (200 if right else 400), answer.text
    header = wire.upload(bucket.name, "b", data, X_Goog_Hash=f"{field.removesuffix('Hash')}={given}")
    assert header.status_code == (200 if right else 400), header.text
    assert wire.names(bucket.name) == (["a", "b"] if right else [])


def test_a_refused_overwrite_leaves_the_former_content(wire: Wire, bucket: storage.Bucket) -> None:
    made = wire.put(bucket.name, "a", content(100_000))
    assert wire.upload(bucket.name, "a", content(100_001), X_Goog_Hash="crc32c=AAAAAA==").status_code == 400
    assert wire.get(bucket.name, "a") == made
    assert wire.read(bucket.name, "a").content == content(100_000)


@pytest.mark.parametrize(
    ("metadata", "query", "word"),
    [
        (b"{", {}, "parseError"),
        (b"[]", {}, "parseError"),
        (b"{}", {}, "required"),
        (b'{"name": ""}', {}, "required"),
        (b'{"name": ".."}', {}, "invalid"),
        (b'{"name": "a\\nb"}', {}, "invalid"),
        (b'{"name": "' + b"x" * 1025 + b'"}', {}, "invalid"),
        (b'{"name": "a", "metadata": {"k": 1}}', {}, "invalid"),
        (b'{"name": "a", "metadata": "k"}', {}, "invalid"),
        (b'{"name": "a", "metadata": {"k": "' + b"v" * 8192 + b'"}}', {}, "invalid"),
        (b'{"name": "a", "contentType": 7}', {}, "invalid"),
        (b'{"name": "a", "temporaryHold": "yes"}', {}, "invalid"),
        (b'{"name": "a", "customTime": "yesterday"}', {}, "invalid"),
        (b'{"name": "a", "customTime": "2026-01-01T00:00:00"}', {}, "invalid"),
        (b'{"name": "a", "storageClass": "TEPID"}', {}, "invalid"),
        (b'{"name": "a"}', {"ifGenerationMatch": "zero"}, "invalid"),
    ],
)
def test_what_makes_no_sense_is_refused_and_stores_nothing(
    wire: Wire, bucket: storage.Bucket, metadata: bytes, query: dict[str, str], word: str
) -> None:
    answer = multipart(wire, bucket.name, metadata, b"data", **query)
    assert (answer.status_code, reason(answer)) == (400, word), answer.text
    assert wire.names(bucket.name) == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/related", b""),
        ("multipart/related; boundary=x", b"--x\r\n\r\n{}\r\n"),
        ("multipart/related; boundary=x", b'--x\r\n\r\n{"name": "a"}\r\n--x\r\n\r\ndata'),
        ("multipart/related; boundary=x", b"no boundary at all"),
    ],
)
def test_a_torn_multipart_body_is_refused(wire: Wire, bucket: storage.Bucket, content_type: str, body: bytes) -> None:
    path, headers = f"/upload{bucket_path(bucket.name)}/o", {"Content-Type": content_type}
    answer = wire.call("POST", path, {"uploadType": "multipart"}, content=body, headers=headers)
    assert answer.status_code == 400
    assert wire.names(bucket.name) == []


@pytest.mark.parametrize(
    ("bucket_name", "query", "status"),
    [
        ("no-such-bucket", {"uploadType": "media", "name": "a"}, 404),
        (None, {"uploadType": "media", "name": "a", "ifGenerationMatch": "5"}, 412),
        (None, {"uploadType": "carrier-pigeon", "name": "a"}, 400),
        (None, {"uploadType": "media"}, 400),
    ],
)
def test_a_client_that_is_still_sending_gets_its_refusal(
    wire: Wire, bucket: storage.Bucket, bucket_name: str | None, query: dict[str, str], status: int
) -> None:
    """Not a broken pipe: more is sent here than all buffers between the two hold."""
    path = f"/upload{bucket_path(bucket_name or bucket.name)}/o"
    assert wire.call("POST", path, query, content=bytes(32_000_000)).status_code == status


def test_gzip_is_decoded_for_those_who_do_not_take_it(wire: Wire, bucket: storage.Bucket) -> None:
    plain = b"line\n" * 20_000
    packed = gzip.compress(plain[:50_000]) + gzip.compress(plain[50_000:])
    blob = bucket.blob("a.gz")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed, content_type="text/plain")
    assert blob.download_as_bytes(raw_download=True) == packed
    assert blob.download_as_bytes() == plain
    answer = wire.read(bucket.name, "a.gz", Accept_Encoding="identity")
    assert answer.content == plain and "Content-Encoding" not in answer.headers
    assert answer.headers["X-Goog-Stored-Content-Encoding"] == "gzip"


def test_each_write_makes_a_greater_generation(wire: Wire, bucket: storage.Bucket) -> None:
    made = [int(wire.put(bucket.name, "a", b"same")["generation"]) for _ in range(20)]
    assert made == sorted(set(made))


def test_a_patch_changes_what_it_names_and_an_update_all(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "a", b"data", Content_Type="text/plain")
    path = object_path(bucket.name, "a")
    first = done(wire.call("PATCH", path, document={"metadata": {"a": "1", "b": "2"}, "contentLanguage": "en"}))
    second = done(wire.call("PATCH", path, document={"metadata": {"a": None, "c": "3"}, "contentLanguage": None}))
    assert second["metadata"] == {"b": "2", "c": "3"} and "contentLanguage" not in second
    third = done(wire.call("PUT", path, document={"metadata": {"d": "4"}, "size": "999", "generation": "7"}))
    assert third["metadata"] == {"d": "4"} and "contentType" not in third
    assert [found["metageneration"] for found in (first, second, third)] == ["2", "3", "4"]
    kept = ("generation", "size", "crc32c", "md5Hash", "timeCreated", "storageClass")
    assert all({found[key] for found in (first, second, third)} == {first[key]} for key in kept)
