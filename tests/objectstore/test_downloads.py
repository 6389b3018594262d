"""Reading: ranges, hashes, what the headers say, and the public address."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from google.api_core import exceptions
from google.cloud import storage

from tests.objectstore.test_uploads import crc32c, md5
from tests.objectstore.wire import Wire, bucket_path, done, object_path

SMALL, LARGE = 1000, 300_000
PUBLIC = {"bindings": [{"role": "roles/storage.objectViewer", "members": ["allUsers"]}]}


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=990-", 990, None),
        ("bytes=-10", -10, None),
        ("bytes=-999999999", 0, None),
        ("bytes=10-999999999", 10, None),
    ],
)
def test_a_range_is_answered_with_exactly_its_bytes(
    wire: Wire, bucket: storage.Bucket, size: int, asked: str, first: int, last: int | None
) -> None:
    data = content(size)
    wire.put(bucket.name, "a", data)
    first, last = first % size, size - 1 if last is None else last
    answer = wire.read(bucket.name, "a", Range=asked)
    assert (answer.status_code, answer.content) == (206, data[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
    assert answer.headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", [f"bytes={SMALL}-", f"bytes={SMALL}-{SMALL + 5}", "bytes=-0"])
def test_a_range_without_a_byte_is_refused_with_the_size(wire: Wire, bucket: storage.Bucket, asked: str) -> None:
    wire.put(bucket.name, "a", content(SMALL))
    answer = wire.read(bucket.name, "a", Range=asked)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{SMALL}")


@pytest.mark.parametrize("asked", ["bytes=5-4", "bytes=-", "lines=1-2", "bytes=0-1,5-6"])
def test_a_range_that_is_none_is_ignored(wire: Wire, bucket: storage.Bucket, asked: str) -> None:
    wire.put(bucket.name, "a", content(SMALL))
    answer = wire.read(bucket.name, "a", Range=asked)
    assert (answer.status_code, answer.content) == (200, content(SMALL))


def test_the_client_reads_ranges_and_in_pieces(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(content(LARGE))
    assert blob.download_as_bytes(start=5, end=9) == content(LARGE)[5:10]
    with bucket.blob("a").open("rb", chunk_size=256 * 1024) as file:
        file.seek(100_000)
        assert file.read(50_000) == content(LARGE)[100_000:150_000]
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=LARGE)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_headers_tell_generation_hashes_and_type_as_stored(wire: Wire, bucket: storage.Bucket, size: int) -> None:
    data = content(size)
    made = wire.put(bucket.name, "a", data, Content_Type="text/x-test")
    done(wire.call("PATCH", object_path(bucket.name, "a"), document={"contentDisposition": "inline"}))
    for answer in (
        wire.read(bucket.name, "a"),
        wire.read(bucket.name, "a", Range="bytes=1-2"),
        wire.call("GET", f"/download{object_path(bucket.name, 'a')}", {"alt": "media"}),
        wire.call("HEAD", object_path(bucket.name, "a"), {"alt": "media"}),
    ):
        head = answer.headers
        assert head["X-Goog-Hash"] == f"crc32c={crc32c(data)},md5={md5(data)}"
        assert (head["X-Goog-Generation"], head["X-Goog-Metageneration"]) == (made["generation"], "2")
        assert (head["Content-Type"], head["Content-Disposition"]) == ("text/x-test", "inline")
        assert head["X-Goog-Stored-Content-Length"] == str(size)


def test_what_is_not_there_is_404(wire: Wire, bucket: storage.Bucket) -> None:
    generation = int(wire.put(bucket.name, "a", b"data")["generation"])
    assert wire.read(bucket.name, "b").status_code == 404
    assert wire.read("no-such-bucket", "a").status_code == 404
    assert wire.read(bucket.name, "a", {"generation": generation + 1}).status_code == 404
    assert wire.read(bucket.name, "a", {"generation": generation}).content == b"data"


def test_a_reader_keeps_the_content_that_it_began_with(wire: Wire, bucket: storage.Bucket) -> None:
    size = 8_000_000
    wire.put(bucket.name, "a", bytes(size))
    path = f"{wire.url}{object_path(bucket.name, 'a')}"
    with wire._session.get(path, params={"alt": "media"}, stream=True, timeout=30) as answer:
        pieces = answer.iter_content(100_000)
        begun = next(pieces)
        wire.put(bucket.name, "a", b"other")
        assert len(begun) + sum(map(len, pieces)) == size
    assert wire.read(bucket.name, "a").content == b"other"


@pytest.mark.parametrize(
    ("granted", "prevention", "credentials", "status"),
    [
        (False, "inherited", False, 403),
        (True, "inherited", False, 200),
        (False, "inherited", True, 200),
    ],
)
def test_the_public_address_gives_what_all_users_may_read(
    wire: Wire, bucket: storage.Bucket, granted: bool, prevention: str, credentials: bool, status: int
) -> None:
    wire.put(bucket.name, "folder/ä b.txt", b"data")
    if granted:
        done(wire.call("PUT", f"{bucket_path(bucket.name)}/iam", document=PUBLIC))
    headers = {"Authorization": "Bearer x"} if credentials else {}
    answer = wire.call("GET", f"/{bucket.name}/folder/%C3%A4%20b.txt", headers=headers)
    assert answer.status_code == status
    assert (answer.content == b"data") == (status == 200)


def test_prevention_of_public_access_wins_over_an_older_grant(
    wire: Wire, make_bucket: Callable[..., storage.Bucket]
) -> None:
    bucket = make_bucket()
    wire.put(bucket.name, "a", b"data")
    done(wire.call("PUT", f"{bucket_path(bucket.name)}/iam", document=PUBLIC))
    statuses = []
    for prevention in itertools.islice(itertools.cycle(["inherited", "enforced"]), 3):
        document = {"iamConfiguration": {"publicAccessPrevention": prevention}}
        done(wire.call("PATCH", bucket_path(bucket.name), document=document))
        statuses.append(wire.call("GET", f"/{bucket.name}/a").status_code)
    assert statuses == [200, 403, 200]
