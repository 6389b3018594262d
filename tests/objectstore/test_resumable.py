"""Resumable uploads: interrupted, asked about, gone on with; by the official client and on the wire."""

from __future__ import annotations

import io
import random
import socket
from typing import Any

import pytest
import requests
from google.cloud import storage
from google.cloud.storage.exceptions import InvalidResponse

from tests import waiting
from tests.objectstore.test_uploads import crc32c
from tests.objectstore.wire import Wire, bucket_path, done, reason

QUANTUM = 256 * 1024
DATA = random.Random(1).randbytes(3 * QUANTUM + 1000)


def session(wire: Wire, bucket: str, name: str = "a", query: dict[str, Any] | None = None, **document: Any) -> str:
    """The address of a new session."""
    asked = {"uploadType": "resumable", **(query or {})}
    answer = wire.call("POST", f"/upload{bucket_path(bucket)}/o", asked, document={"name": name, **document})
    assert answer.status_code == 200, answer.text
    return answer.headers["Location"]


def send(wire: Wire, place: str, data: bytes, content_range: str, **headers: str) -> requests.Response:
    return wire.call("PUT", place, content=data, headers={"Content-Range": content_range, **headers})


def ask(wire: Wire, place: str, total: int | str = "*") -> tuple[int, int]:
    """Status and number of bytes that the server says it has."""
    answer = send(wire, place, b"", f"bytes */{total}")
    last = answer.headers.get("Range")
    return answer.status_code, 0 if last is None else int(last.removeprefix("bytes=0-")) + 1


@pytest.mark.parametrize("size", [0, 1, QUANTUM - 1, QUANTUM, QUANTUM + 1, len(DATA)])
@pytest.mark.parametrize("checksum", [None, "crc32c", "md5"])
def test_the_client_uploads_in_chunks(bucket: storage.Bucket, size: int, checksum: str | None) -> None:
    blob = bucket.blob("a", chunk_size=QUANTUM)
    blob.upload_from_file(io.BytesIO(DATA[:size]), size=None, checksum=checksum)
    assert blob.size == size and bucket.blob("a").download_as_bytes() == DATA[:size]


def test_the_client_streams_what_has_no_size_yet(bucket: storage.Bucket) -> None:
    with bucket.blob("a").open("wb", chunk_size=QUANTUM, content_type="text/x-test", if_generation_match=0) as file:
        for start in range(0, len(DATA), 100_000):
            file.write(DATA[start : start + 100_000])
    found = bucket.get_blob("a")
    assert found.download_as_bytes() == DATA and found.content_type == "text/x-test"
    with pytest.raises(InvalidResponse), bucket.blob("a").open("wb", if_generation_match=0) as file:
        file.write(b"late")


def test_chunks_are_acknowledged_and_the_last_one_makes_the_object(wire: Wire, bucket: storage.Bucket) -> None:
    place = session(wire, bucket.name, contentType="text/x-test", metadata={"k": "v"})
    total = len(DATA)
    for start in range(0, total - QUANTUM, QUANTUM):
        assert wire.names(bucket.name) == []
        end = start + QUANTUM
        answer = send(wire, place, DATA[start:end], f"bytes {start}-{end - 1}/*")
        assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{end - 1}")
        assert ask(wire, place) == ask(wire, place, total) == (308, end)
    last = done(send(wire, place, DATA[end:], f"bytes {end}-{total - 1}/{total}"))
    assert (last["size"], last["crc32c"], last["contentType"], last["metadata"]) == (
        str(total), crc32c(DATA), "text/x-test", {"k": "v"})  # fmt: skip
    assert wire.read(bucket.name, "a").content == DATA


def test_a_finished_session_tells_its_result_again(wire: Wire, bucket: storage.Bucket) -> None:
    place = session(wire, bucket.name)
    total = len(DATA)
    made = done(send(wire, place, DATA, f"bytes 0-{total - 1}/{total}"))
    assert done(send(wire, place, DATA, f"bytes 0-{total - 1}/{total}")) == made
    assert done(send(wire, place, b"", f"bytes */{total}")) == made
    assert wire.get(bucket.name, "a") == made


@pytest.mark.parametrize("sent", [0, 1000, QUANTUM, QUANTUM + 1000, 3 * QUANTUM + 999])
def test_an_interrupted_chunk_is_kept_up_to_a_quantum(wire: Wire, bucket: storage.Bucket, sent: int) -> None:
    place = session(wire, bucket.name)
    total = len(DATA)
    path = place.removeprefix(wire.url)
    head = (
        f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {total}\r\nContent-Range: bytes 0-{total - 1}/{total}\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(wire.url.rpartition(":")[2]))) as torn:
        torn.sendall(head.encode() + b"\r\n" + DATA[:sent])
    expected = sent - sent % QUANTUM
    waiting.until(
        lambda: ask(wire, place, total) == (308, expected),
        f"{expected} bytes are kept",
        limit_s=60,
        told=lambda: ask(wire, place, total),
    )
    rest = DATA[expected:]
    done(send(wire, place, rest, f"bytes {expected}-{total - 1}/{total}"))
    assert wire.read(bucket.name, "a").content == DATA


def test_a_chunk_that_is_no_multiple_is_not_kept_whole(wire: Wire, bucket: storage.Bucket) -> None:
    place = session(wire, bucket.name)
    size = QUANTUM + 5
    answer = send(wire, place, DATA[:size], f"bytes 0-{size - 1}/*")
    assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    done(send(wire, place, b"", f"bytes */{QUANTUM}"))
    assert wire.read(bucket.name, "a").content == DATA[:QUANTUM]


def test_a_chunk_that_is_sent_twice_counts_once(wire: Wire, bucket: storage.Bucket) -> None:
    place = session(wire, bucket.name)
    for _ in range(2):
        assert send(wire, place, DATA[:QUANTUM], f"bytes 0-{QUANTUM - 1}/*").status_code == 308
    total = len(DATA)
    done(send(wire, place, DATA[1000:], f"bytes 1000-{total - 1}/{total}"))
    assert wire.read(bucket.name, "a").content == DATA


@pytest.mark.parametrize(
    ("data", "content_range", "status"),
    [
        (DATA[:QUANTUM], f"bytes {2 * QUANTUM}-{3 * QUANTUM - 1}/*", 503),
        (DATA[:10], f"bytes {QUANTUM}-{QUANTUM + 19}/*", 400),
        (DATA[:30], f"bytes {QUANTUM}-{QUANTUM + 19}/*", 400),
        (DATA[:QUANTUM], f"bytes {QUANTUM}-{2 * QUANTUM - 1}/{QUANTUM + 5}", 400),
        (b"", f"bytes */{QUANTUM - 1}", 400),
        (b"x", f"bytes {QUANTUM}-{QUANTUM - 1}/*", 400),
        (b"x", "bytes 1-x/*", 400),
        (b"x", "furlongs 0-1/2", 400),
    ],
)
def test_a_range_that_does_not_fit_changes_nothing(
    wire: Wire, bucket: storage.Bucket, data: bytes, content_range: str, status: int
) -> None:
    place = session(wire, bucket.name)
    send(wire, place, DATA[:QUANTUM], f"bytes 0-{QUANTUM - 1}/*")
    assert send(wire, place, data, content_range).status_code == status
    assert ask(wire, place) == (308, QUANTUM)
    total = len(DATA)
    done(send(wire, place, DATA[QUANTUM:], f"bytes {QUANTUM}-{total - 1}/{total}"))
    assert wire.read(bucket.name, "a").content == DATA


@pytest.mark.parametrize("declared", ["crc32c", "md5Hash", None])
def test_a_wrong_checksum_ends_the_session_and_makes_nothing(
    wire: Wire, bucket: storage.Bucket, declared: str | None
) -> None:
    place = session(wire, bucket.name, "a", None, **({declared: "AAAAAA=="} if declared else {}))
    total = len(DATA)
    header = {} if declared else {"X-Goog-Hash": "crc32c=AAAAAA=="}
    assert send(wire, place, DATA, f"bytes 0-{total - 1}/{total}", **header).status_code == 400
    assert send(wire, place, b"", f"bytes */{total}").status_code == 404
    assert wire.names(bucket.name) == []


def test_a_cancelled_session_is_gone(wire: Wire, bucket: storage.Bucket) -> None:
    place = session(wire, bucket.name)
    send(wire, place, DATA[:QUANTUM], f"bytes 0-{QUANTUM - 1}/*")
    assert wire.call("DELETE", place).status_code == 499
    assert send(wire, place, b"", "bytes */*").status_code == 404
    assert wire.call("DELETE", place).status_code == 404


@pytest.mark.parametrize(
    ("query", "document", "status", "word"),
    [
        ({"ifGenerationMatch": "7"}, {"name": "a"}, 412, "conditionNotMet"),
        ({}, {}, 400, "required"),
        ({}, {"name": "a", "metadata": 7}, 400, "invalid"),
        ({"ifGenerationMatch": "x"}, {"name": "a"}, 400, "invalid"),
    ],
)
def test_a_session_that_cannot_end_well_does_not_start(
    wire: Wire, bucket: storage.Bucket, query: dict[str, str], document: Any, status: int, word: str
) -> None:
    asked = {"uploadType": "resumable", **query}
    answer = wire.call("POST", f"/upload{bucket_path(bucket.name)}/o", asked, document=document)
    assert (answer.status_code, reason(answer)) == (status, word)


def test_a_session_belongs_to_its_bucket(wire: Wire, bucket: storage.Bucket, make_bucket: Any) -> None:
    place = session(wire, bucket.name)
    other = place.replace(f"/b/{bucket.name}/", f"/b/{make_bucket().name}/")
    assert send(wire, other, b"", "bytes */*").status_code == 404
    assert send(wire, place.replace("upload_id=", "upload_id=x"), b"", "bytes */*").status_code == 404
