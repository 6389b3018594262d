"""kill -9: what was acknowledged is there, what was not is whole or absent, and nothing of it is left lying about."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from tests.objectstore.test_resumable import DATA, QUANTUM, ask, send, session
from tests.objectstore.wire import Wire, bucket_path, done, object_path
from tests.objectstore_process import ObjectStore

SMALL, LARGE = b"small", random.Random(2).randbytes(300_000)


@pytest.fixture
def store(tmp_path: Any) -> Iterator[ObjectStore]:
    """A store of this test's own, with one bucket."""
    made = ObjectStore(tmp_path)
    made.start()
    try:
        Wire(made.url).make_bucket("crash")
        yield made
    finally:
        made.stop()
    assert "Traceback" not in made.log, made.log


def crash(wire: Wire, moment: str, commits: int = 0) -> None:
    done(wire.call("POST", "/_control/crash", document={"moment": moment, "commits": commits}))


def again(store: ObjectStore) -> Wire:
    """The same store, started anew after its death."""
    assert store.died() == -9
    store.start()
    return Wire(store.url)


def everything(wire: Wire) -> list[dict[str, Any]]:
    return list(done(wire.call("GET", f"{bucket_path('crash')}/o", {"versions": "true"})).get("items", []))


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_upload_is_whole_or_absent(store: ObjectStore, data: bytes, moment: str) -> None:
    wire = Wire(store.url)
    wire.put("crash", "a", b"former")
    crash(wire, moment)
    with pytest.raises(requests.ConnectionError):
        wire.upload("crash", "a", data)
    wire = again(store)
    assert wire.read("crash", "a").content == (b"former" if moment == "before" else data)
    assert len(everything(wire)) == 1
    assert len(store.contents) == (1 if moment == "after" and data is LARGE else 0)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_overwrite_or_a_deletion_loses_the_former_content_with_the_commit(store: ObjectStore, moment: str) -> None:
    wire = Wire(store.url)
    for name in ("overwritten", "deleted"):
        wire.put("crash", name, LARGE)
    for name, call in (
        ("overwritten", lambda wire: wire.upload("crash", "overwritten", SMALL)),
        ("deleted", lambda wire: wire.call("DELETE", object_path("crash", "deleted"))),
    ):
        crash(wire, moment)
        with pytest.raises(requests.ConnectionError):
            call(wire)
        wire = again(store)
        if moment == "before":
            assert wire.read("crash", name).content == LARGE
    assert len(store.contents) == (2 if moment == "before" else 0)


@pytest.mark.parametrize("size", [1000, len(DATA)], ids=["small", "large"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("commits", [0, 1], ids=["at the chunk", "at the end"])
def test_a_resumable_upload_ends_once_and_whole(store: ObjectStore, size: int, moment: str, commits: int) -> None:
    """With a condition, so that a second write of the same session would be refused."""
    wire, data = Wire(store.url), DATA[:size]
    place = session(wire, "crash", query={"ifGenerationMatch": 0})
    crash(wire, moment, commits)
    with pytest.raises(requests.ConnectionError):
        send(wire, place, data, f"bytes 0-{size - 1}/{size}")
    wire = again(store)
    status, here = ask(wire, place, size)
    if status == 308:
        done(send(wire, place, data[here:], f"bytes {here}-{size - 1}/{size}"))
    made = done(send(wire, place, b"", f"bytes */{size}"))
    assert [item["generation"] for item in everything(wire)] == [made["generation"]]
    assert wire.read("crash", "a").content == data
    done(wire.call("DELETE", object_path("crash", "a")))
    assert store.contents == set()


def test_a_session_goes_on_after_a_kill(store: ObjectStore) -> None:
    wire, total = Wire(store.url), len(DATA)
    place = session(wire, "crash")
    send(wire, place, DATA[: 2 * QUANTUM], f"bytes 0-{2 * QUANTUM - 1}/{total}")
    store.kill()
    store.start()
    wire = Wire(store.url)
    assert ask(wire, place, total) == (308, 2 * QUANTUM)
    done(send(wire, place, DATA[2 * QUANTUM :], f"bytes {2 * QUANTUM}-{total - 1}/{total}"))
    assert wire.read("crash", "a").content == DATA


def test_everything_is_as_it_was_after_a_kill(store: ObjectStore) -> None:
    wire = Wire(store.url)
    done(wire.call("PATCH", bucket_path("crash"), document={"versioning": {"enabled": True}, "labels": {"a": "1"}}))
    for data in (SMALL, LARGE, b""):
        wire.put("crash", "a", data)
    done(wire.call("PATCH", object_path("crash", "a"), document={"metadata": {"k": "v"}}))
    policy = f"{bucket_path('crash')}/iam"
    binding = {"role": "roles/storage.objectViewer", "members": ["allUsers"]}
    done(wire.call("PUT", policy, document={"bindings": [binding]}))
    paths = (bucket_path("crash"), policy, f"{bucket_path('crash')}/o?versions=true", "/_control/events")
    before = [done(wire.call("GET", path)) for path in paths]
    for end in (store.kill, store.stop):
        end()
        store.start()
        wire = Wire(store.url)
        assert [done(wire.call("GET", path)) for path in paths] == before
    newest = int(wire.put("crash", "a", b"newest")["generation"])
    assert newest > max(int(item["generation"]) for item in before[2]["items"])


def test_writers_that_are_killed_at_any_moment_lose_nothing_acknowledged(store: ObjectStore) -> None:
    """Eight writers at once, uploads of both sizes and overwrites; the kill comes in the midst of them."""
    acknowledged: dict[str, tuple[str, str]] = {}
    enough = threading.Event()

    def write(number: int) -> None:
        wire, turn = Wire(store.url), 0
        with suppress(requests.RequestException):
            while True:
                data = random.Random(number * 1000 + turn).randbytes(100 if turn % 3 else 200_000)
                name = f"{number}/{turn % 5}"
                made = wire.put("crash", name, data)
                acknowledged[name] = (made["generation"], hashlib.sha256(data).hexdigest())
                turn += 1
                if len(acknowledged) == 8 * 5:
                    enough.set()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    store.kill()
    for writer in writers:
        writer.join(60)
    store.start()
    wire = Wire(store.url)
    found = {item["name"]: item for item in everything(wire)}
    for name, (generation, digest) in acknowledged.items():
        assert int(found[name]["generation"]) >= int(generation)
        content = wire.read("crash", name).content
        assert len(content) == int(found[name]["size"]) in (100, 200_000)
        if found[name]["generation"] == generation:
            assert hashlib.sha256(content).hexdigest() == digest
    assert len(store.contents) == sum(int(item["size"]) > 100 for item in found.values())


def test_a_crash_needs_a_moment(store: ObjectStore) -> None:
    assert Wire(store.url).call("POST", "/_control/crash", document={"moment": "soon"}).status_code == 400
