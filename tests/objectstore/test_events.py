"""What happened to objects: a feed that misses nothing, and pushes that arrive at least once and in order."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.cloud import storage

from tests.faultproxy import closed_port
from tests.objectstore.wire import Wire, bucket_path, done, object_path
from tests.serving import served

WAIT_S = 120


def feed(wire: Wire, bucket: str, **query: object) -> list[tuple[str, str]]:
    found = done(wire.call("GET", "/_control/events", {"bucket": bucket, **query}))["events"]
    return [(event["type"], event["object"]["name"]) for event in found]


@pytest.mark.parametrize("versioned", [False, True])
def test_every_change_is_told_once_and_in_order(wire: Wire, make_bucket: Any, versioned: bool) -> None:
    bucket = make_bucket(versioning_enabled=versioned).name
    gone = "archived" if versioned else "deleted"
    wire.put(bucket, "a", b"1")
    wire.put(bucket, "a", b"2")
    done(wire.call("PATCH", object_path(bucket, "a"), document={"metadata": {"k": "v"}}))
    done(wire.call("POST", f"{object_path(bucket, 'a')}/moveTo/o/b"))
    done(wire.call("DELETE", object_path(bucket, "b")))
    written = [("finalized", "a"), (gone, "a"), ("finalized", "a"), ("metadataUpdated", "a")]
    assert feed(wire, bucket) == [*written, ("finalized", "b"), (gone, "a"), (gone, "b")]


def test_a_refused_write_tells_nothing(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "a", b"1")
    assert wire.upload(bucket.name, "a", b"2", {"ifGenerationMatch": 0}).status_code == 412
    assert wire.upload(bucket.name, "a", b"2", X_Goog_Hash="crc32c=AAAAAA==").status_code == 400
    assert feed(wire, bucket.name) == [("finalized", "a")]


def test_the_feed_goes_on_from_a_place_and_waits(wire: Wire, bucket: storage.Bucket) -> None:
    for name in "abc":
        wire.put(bucket.name, name, b"data")
    first = done(wire.call("GET", "/_control/events", {"bucket": bucket.name, "limit": 2}))
    assert [event["object"]["name"] for event in first["events"]] == ["a", "b"]
    assert feed(wire, bucket.name, after=first["next"]) == [("finalized", "c")]
    latest = done(wire.call("GET", "/_control/events", {"bucket": bucket.name}))["next"]
    found: list[list[tuple[str, str]]] = []
    waiter = threading.Thread(
        target=lambda: found.append(feed(Wire(wire.url), bucket.name, after=latest, wait_s=WAIT_S))
    )
    waiter.start()
    wire.put(bucket.name, "d", b"data")
    waiter.join(WAIT_S)
    assert found == [[("finalized", "d")]]
    assert feed(wire, bucket.name, after=latest + 1000) == []


@dataclass
class Receiver:
    """Takes pushes; `statuses` are answered first, then 204."""

    statuses: list[int] = field(default_factory=list)
    got: queue.Queue[tuple[str, dict[str, str], Any]] = field(default_factory=queue.Queue)


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.statuses.pop(0) if receiver.statuses else 204
            if status == 204:
                receiver.got.put((self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(body)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    with served(server):
        yield f"http://127.0.0.1:{server.server_port}"


@contextmanager
def subscribed(wire: Wire, url: str, bucket: str) -> Iterator[None]:
    number = done(wire.call("POST", "/_control/subscriptions", document={"url": url, "bucket": bucket}))["id"]
    try:
        yield
    finally:
        done(wire.call("DELETE", f"/_control/subscriptions/{number}"))


def test_a_push_is_a_cloud_event_of_a_finalized_object(wire: Wire, bucket: storage.Bucket) -> None:
    wire.put(bucket.name, "before", b"data")
    receiver = Receiver()
    with receiving(receiver) as url, subscribed(wire, f"{url}/push?token=x", bucket.name):
        made = wire.put(bucket.name, "folder/ä b", b"data", Content_Type="text/x-test")
        done(wire.call("PATCH", object_path(bucket.name, "folder/ä b"), document={"metadata": {"k": "v"}}))
        done(wire.call("DELETE", object_path(bucket.name, "folder/ä b")))
        wire.put(bucket.name, "last", b"data")
        path, headers, document = receiver.got.get(timeout=WAIT_S)
        assert receiver.got.get(timeout=WAIT_S)[2]["name"] == "last"
    assert path == "/push?token=x"
    assert headers["ce-type"] == "google.cloud.storage.object.v1.finalized" and headers["ce-specversion"] == "1.0"
    assert headers["ce-source"] == f"//storage.googleapis.com/projects/_/buckets/{bucket.name}"
    assert headers["ce-subject"] == "objects/folder/%C3%A4%20b"
    kept = ("name", "bucket", "generation", "size", "crc32c", "contentType", "timeCreated")
    assert {key: document[key] for key in kept} == {key: made[key] for key in kept}
    assert receiver.got.empty()


def test_what_a_receiver_refuses_is_pushed_again_in_order(wire: Wire, bucket: storage.Bucket) -> None:
    receiver = Receiver(statuses=[503, 500])
    with receiving(receiver) as url, subscribed(wire, url, bucket.name):
        for name in "abc":
            wire.put(bucket.name, name, b"data")
        assert [receiver.got.get(timeout=WAIT_S)[2]["name"] for _ in "abc"] == ["a", "b", "c"]


def test_a_receiver_that_is_down_gets_its_events_later_and_delays_nobody(wire: Wire, bucket: storage.Bucket) -> None:
    port, late, other = closed_port(), Receiver(), Receiver()
    with subscribed(wire, f"http://127.0.0.1:{port}/", bucket.name), receiving(other) as url:
        with subscribed(wire, url, bucket.name):
            wire.put(bucket.name, "a", b"data")
            assert other.got.get(timeout=WAIT_S)[2]["name"] == "a"
        with receiving(late, port):
            assert late.got.get(timeout=WAIT_S)[2]["name"] == "a"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://127.0.0.1:1/",
        "http://192.0.2.1/",
        "http://measurement-lab.test/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://[::1/",
        "http://127.0.0.1:1/ä",
        "http://127.0.0.1:1/a b",
    ],
)
def test_a_push_stays_on_loopback_and_a_bad_address_harms_nobody(
    wire: Wire, bucket: storage.Bucket, address: str
) -> None:
    document = {"url": address, "bucket": bucket.name}
    assert wire.call("POST", "/_control/subscriptions", document=document).status_code == 400
    receiver = Receiver()
    with receiving(receiver) as good, subscribed(wire, good, bucket.name):
        wire.put(bucket.name, "a", b"data")
        assert receiver.got.get(timeout=WAIT_S)[2]["name"] == "a"


def test_a_subscription_has_a_number(wire: Wire) -> None:
    assert wire.call("DELETE", "/_control/subscriptions/x").status_code == 400
    assert wire.call("GET", bucket_path("_control")).status_code == 404
