"""Every condition on every verb: judged at the moment of the write, and a refused call changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from tests.objectstore.wire import Wire, bucket_path, done, object_path, reason

NAME = "folder/object.txt"
CONDITIONS = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
Verb = Callable[[Wire, str, dict[str, object]], requests.Response]


def media(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return wire.upload(bucket, NAME, b"new", query)


def multipart(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    body = (
        b'--x\r\nContent-Type: application/json\r\n\r\n{"name": "' + NAME.encode() + b'"}\r\n'
        b"--x\r\nContent-Type: text/plain\r\n\r\nnew\r\n--x--\r\n"
    )
    headers = {"Content-Type": "multipart/related; boundary=x"}
    path = f"/upload{bucket_path(bucket)}/o"
    return wire.call("POST", path, {"uploadType": "multipart", **query}, content=body, headers=headers)


def resumable(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    path = f"/upload{bucket_path(bucket)}/o"
    started = wire.call("POST", path, {"uploadType": "resumable", **query}, document={"name": NAME})
    if started.status_code != 200:
        return started
    return wire.call("PUT", started.headers["Location"], content=b"new", headers={"Content-Range": "bytes 0-2/3"})


def patch(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return wire.call("PATCH", object_path(bucket, NAME), query, document={"metadata": {"k": "v"}})


def update(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return wire.call("PUT", object_path(bucket, NAME), query, document={"metadata": {"k": "v"}})


def delete(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return wire.call("DELETE", object_path(bucket, NAME), query)


def copied(call: str, wire: Wire, bucket: str, source: str, target: str, query: dict[str, object]) -> requests.Response:
    path = f"{object_path(bucket, source)}/{call}{object_path(bucket, target).removeprefix('/storage/v1')}"
    return wire.call("POST", path, query, document={})


def copy_onto(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return copied("copyTo", wire, bucket, "other", NAME, query)


def rewrite_onto(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return copied("rewriteTo", wire, bucket, "other", NAME, query)


def move_onto(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    path = f"{object_path(bucket, 'other')}/moveTo/o/{NAME.replace('/', '%2F')}"
    return wire.call("POST", path, query)


def compose_onto(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    document = {"sourceObjects": [{"name": "other"}]}
    return wire.call("POST", f"{object_path(bucket, NAME)}/compose", query, document=document)


def read_resource(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return wire.call("GET", object_path(bucket, NAME), query)


def read_content(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return wire.read(bucket, NAME, query)


def copy_from(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return copied("copyTo", wire, bucket, NAME, "target", query)


def rewrite_from(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return copied("rewriteTo", wire, bucket, NAME, "target", query)


def move_from(wire: Wire, bucket: str, query: dict[str, object]) -> requests.Response:
    return wire.call("POST", f"{object_path(bucket, NAME)}/moveTo/o/target", query)


CREATING: tuple[Verb, ...] = (media, multipart, resumable, copy_onto, rewrite_onto, move_onto, compose_onto)
CHANGING: tuple[Verb, ...] = (*CREATING, patch, update, delete)
READING: tuple[Verb, ...] = (read_resource, read_content)
FROM: tuple[Verb, ...] = (copy_from, rewrite_from, move_from)


def state(wire: Wire, bucket: str) -> list[dict[str, Any]]:
    """Every generation of every object of a bucket."""
    return list(done(wire.call("GET", f"{bucket_path(bucket)}/o", {"versions": "true"})).get("items", []))


@pytest.fixture
def filled(wire: Wire, bucket: storage.Bucket) -> tuple[str, dict[str, int]]:
    """A bucket with an object whose metageneration is 2, and another one; the numbers that its conditions name."""
    made = wire.put(bucket.name, NAME, b"old")
    wire.put(bucket.name, "other", b"other")
    changed = done(wire.call("PATCH", object_path(bucket.name, NAME), document={"contentLanguage": "en"}))
    assert (changed["generation"], changed["metageneration"]) == (made["generation"], "2")
    number = int(made["generation"])
    return bucket.name, {
        "GenerationMatch": number,
        "GenerationNotMatch": number,
        "MetagenerationMatch": 2,
        "MetagenerationNotMatch": 2,
    }


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("verb", [*CHANGING, *READING, *FROM], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("holds", [True, False], ids=["holds", "fails"])
def test_a_condition_on_a_present_object_decides(
    wire: Wire, filled: tuple[str, dict[str, int]], verb: Verb, condition: str, holds: bool
) -> None:
    bucket, numbers = filled
    value = numbers[condition]
    if condition.endswith("NotMatch") == holds:
        value += 1
    before = state(wire, bucket)
    answer = verb(wire, bucket, {f"if{'Source' if verb in FROM else ''}{condition}": value})
    if holds:
        assert answer.status_code in (200, 204), answer.text
        assert (state(wire, bucket) == before) == (verb in READING)
        return
    if verb in READING and condition.endswith("NotMatch"):
        assert (answer.status_code, answer.content) == (304, b"")
    else:
        assert answer.status_code == 412 and reason(answer) == "conditionNotMet"
    assert state(wire, bucket) == before


@pytest.mark.parametrize("verb", CREATING, ids=lambda verb: verb.__name__)
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"ifGenerationMatch": 0}, 200),
        ({"ifGenerationMatch": 1}, 412),
        ({"ifGenerationNotMatch": 0}, 412),
        ({"ifGenerationNotMatch": 1}, 200),
        ({"ifMetagenerationMatch": 1}, 412),
        ({"ifMetagenerationNotMatch": 1}, 200),
        ({"ifGenerationMatch": 0, "ifMetagenerationMatch": 1}, 412),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else str(value),
)
def test_an_absent_object_has_the_generation_0(
    wire: Wire, bucket: storage.Bucket, verb: Verb, query: dict[str, object], status: int
) -> None:
    wire.put(bucket.name, "other", b"other")
    answer = verb(wire, bucket.name, query)
    assert answer.status_code == status, answer.text
    assert (NAME in wire.names(bucket.name)) == (status == 200)


@pytest.mark.parametrize("verb", CHANGING, ids=lambda verb: verb.__name__)
def test_generation_0_is_no_present_object(wire: Wire, filled: tuple[str, dict[str, int]], verb: Verb) -> None:
    before = state(wire, filled[0])
    assert verb(wire, filled[0], {"ifGenerationMatch": 0}).status_code == 412
    assert state(wire, filled[0]) == before
    assert verb(wire, filled[0], {"ifGenerationNotMatch": 0}).status_code in (200, 204)


@pytest.mark.parametrize("verb", CHANGING, ids=lambda verb: verb.__name__)
def test_all_conditions_of_a_call_must_hold(wire: Wire, filled: tuple[str, dict[str, int]], verb: Verb) -> None:
    bucket, numbers = filled
    before = state(wire, bucket)
    query: dict[str, object] = {"ifGenerationMatch": numbers["GenerationMatch"], "ifMetagenerationMatch": 1}
    assert verb(wire, bucket, query).status_code == 412
    assert state(wire, bucket) == before
    assert verb(wire, bucket, {**query, "ifMetagenerationMatch": 2}).status_code in (200, 204)


def test_a_resumable_upload_is_judged_when_it_ends(wire: Wire, filled: tuple[str, dict[str, int]]) -> None:
    bucket, numbers = filled
    query = {"uploadType": "resumable", "ifGenerationMatch": numbers["GenerationMatch"]}
    started = wire.call("POST", f"/upload{bucket_path(bucket)}/o", query, document={"name": NAME})
    assert started.status_code == 200
    winner = wire.put(bucket, NAME, b"somebody was quicker")
    ended = wire.call("PUT", started.headers["Location"], content=b"new", headers={"Content-Range": "bytes 0-2/3"})
    assert ended.status_code == 412
    assert wire.get(bucket, NAME)["generation"] == winner["generation"]


def test_the_conditions_of_a_composition_hold_for_each_component(
    wire: Wire, filled: tuple[str, dict[str, int]]
) -> None:
    bucket, numbers = filled

    def compose(generation: int) -> requests.Response:
        first = {"name": NAME, "objectPreconditions": {"ifGenerationMatch": str(generation)}}
        document = {"sourceObjects": [first, {"name": "other"}]}
        return wire.call("POST", f"{object_path(bucket, 'both')}/compose", document=document)

    assert compose(numbers["GenerationMatch"] + 1).status_code == 412
    assert "both" not in wire.names(bucket)
    assert compose(numbers["GenerationMatch"]).status_code == 200
    assert wire.read(bucket, "both").content == b"oldother"


def bucket_call(wire: Wire, verb: str, bucket: str, query: dict[str, object]) -> requests.Response:
    if verb == "LOCK":
        return wire.call("POST", f"{bucket_path(bucket)}/lockRetentionPolicy", query)
    document = {"labels": {"k": "v"}} if verb in ("PATCH", "PUT") else None
    return wire.call(verb, bucket_path(bucket), query, document=document)


@pytest.mark.parametrize("verb", ["GET", "PATCH", "PUT", "DELETE", "LOCK"])
@pytest.mark.parametrize("condition", ["Match", "NotMatch"])
def test_a_bucket_is_guarded_by_its_metageneration(
    wire: Wire, make_bucket: Callable[..., storage.Bucket], verb: str, condition: str
) -> None:
    name = make_bucket(retention_period=60).name
    before = done(wire.call("GET", bucket_path(name)))
    extra: dict[str, object] = {"ifMetagenerationMatch": 1} if verb == "LOCK" and condition == "NotMatch" else {}
    failing, holding = (2, 1) if condition == "Match" else (1, 2)
    answer = bucket_call(wire, verb, name, {**extra, f"ifMetageneration{condition}": failing})
    assert answer.status_code == (304 if verb == "GET" and condition == "NotMatch" else 412)
    assert done(wire.call("GET", bucket_path(name))) == before
    assert bucket_call(wire, verb, name, {**extra, f"ifMetageneration{condition}": holding}).ok


def test_locking_retention_demands_the_metageneration(wire: Wire, make_bucket: Callable[..., storage.Bucket]) -> None:
    answer = bucket_call(wire, "LOCK", make_bucket(retention_period=60).name, {})
    assert answer.status_code == 400 and reason(answer) == "required"


@pytest.mark.parametrize("value", ["one", "1.5", str(2**63), "-1"])
@pytest.mark.parametrize("name", ["ifGenerationMatch", "ifMetagenerationNotMatch", "generation"])
def test_a_condition_that_is_no_number_is_refused(
    wire: Wire, filled: tuple[str, dict[str, int]], name: str, value: str
) -> None:
    answer = wire.call("DELETE", object_path(filled[0], NAME), {name: value})
    assert answer.status_code == 400 and name in answer.json()["error"]["message"]
    assert NAME in wire.names(filled[0])


def test_the_official_client_races_for_an_object_and_loses_without_harm(bucket: storage.Bucket) -> None:
    first = bucket.blob("lock")
    first.upload_from_string("first", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("lock").upload_from_string("second", if_generation_match=0)
    second = bucket.blob("lock")
    second.upload_from_string("second", if_generation_match=first.generation)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.delete_blob("lock", if_generation_match=first.generation)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("lock").download_as_bytes(if_generation_match=first.generation)
    second.metadata = {"k": "v"}
    second.patch(if_metageneration_match=1)
    with pytest.raises(exceptions.PreconditionFailed):
        second.patch(if_metageneration_match=1)
    with pytest.raises(exceptions.NotModified):
        second.reload(if_metageneration_not_match=2)
    second.delete(if_generation_match=second.generation)
    assert not bucket.blob("lock").exists()


def test_the_official_client_copies_under_conditions_on_both_ends(bucket: storage.Bucket) -> None:
    source, target = bucket.blob("source"), bucket.blob("target")
    source.upload_from_string("new")
    target.upload_from_string("old")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(source, bucket, "target", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        target.rewrite(source, if_source_generation_match=source.generation + 1)
    target.rewrite(source, if_generation_match=target.generation, if_source_generation_match=source.generation)
    assert target.download_as_bytes() == b"new"


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_reads_know_the_header_form(wire: Wire, filled: tuple[str, dict[str, int]], header: str) -> None:
    tag = wire.get(filled[0], NAME)["etag"]
    same = wire.read(filled[0], NAME, None, **{header.replace("-", "_"): f'"{tag}"'})
    other = wire.read(filled[0], NAME, None, **{header.replace("-", "_"): '"CAE="'})
    assert (same.status_code, other.status_code) == ((200, 412) if header == "If-Match" else (304, 200))
