"""Lifecycle rules carried out as of a moment that the test names, on an object store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import objectstore_process
from tests.objectstore.wire import Wire, bucket_path, done, object_path

DELETE = {"type": "Delete"}


@pytest.fixture(scope="module")
def aging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A store that nobody else uses: a run of the rules is for all buckets."""
    with objectstore_process.running(tmp_path_factory.mktemp("aging")) as url:
        yield Wire(url)


@pytest.fixture
def name(aging: Wire, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new bucket, which has no rules any more when the test is over."""
    made = f"b{abs(hash(request.node.nodeid)):x}"
    aging.make_bucket(made)
    yield made
    done(aging.call("PATCH", bucket_path(made), document={"lifecycle": None}))


def rules(wire: Wire, bucket: str, *pairs: tuple[dict[str, str], dict[str, Any]], **settings: Any) -> None:
    rule = [{"action": action, "condition": condition} for action, condition in pairs]
    done(wire.call("PATCH", bucket_path(bucket), document={"lifecycle": {"rule": rule}, **settings}))


def after(wire: Wire, days: float) -> list[tuple[str, str]]:
    """Let the rules run so many days from now; what was done."""
    at = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    found = done(wire.call("POST", "/_control/lifecycle", document={"at": at}))["done"]
    return [(each["action"], each["name"]) for each in found]


def day(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def test_an_age_is_reached_after_so_many_days_and_not_before(aging: Wire, name: str) -> None:
    aging.put(name, "a", b"data")
    rules(aging, name, (DELETE, {"age": 30}))
    assert after(aging, 29.99) == [] and aging.names(name) == ["a"]
    assert after(aging, 30.01) == [("Delete", "a")] and aging.names(name) == []
    assert after(aging, 31) == []


@pytest.mark.parametrize(
    ("condition", "gone"),
    [
        ({"age": 0}, ["custom", "logs/a.txt", "plain", "tmp/a"]),
        ({"age": 0, "matchesPrefix": ["tmp/", "nothing"]}, ["tmp/a"]),
        ({"age": 0, "matchesSuffix": [".txt"]}, ["logs/a.txt"]),
        ({"matchesPrefix": ["logs/"], "matchesSuffix": ["b"]}, []),
        ({"matchesStorageClass": ["NEARLINE"]}, ["custom"]),
        ({"createdBefore": 2}, ["custom", "logs/a.txt", "plain", "tmp/a"]),
        ({"createdBefore": 0}, []),
        ({"customTimeBefore": "2020-01-02"}, ["custom"]),
        ({"customTimeBefore": "2020-01-01"}, []),
        ({"daysSinceCustomTime": 100}, ["custom"]),
        ({"isLive": False}, []),
        ({"numNewerVersions": 1}, []),
        ({"daysSinceNoncurrentTime": 0}, []),
    ],
    ids=str,
)
def test_a_rule_acts_where_all_of_its_conditions_hold(
    aging: Wire, name: str, condition: dict[str, Any], gone: list[str]
) -> None:
    for each in ("plain", "tmp/a", "logs/a.txt", "custom"):
        aging.put(name, each, b"data")
    path = object_path(name, "custom")
    copy = f"{path}/copyTo{path.removeprefix('/storage/v1')}"
    done(aging.call("POST", copy, document={"storageClass": "NEARLINE", "customTime": "2020-01-01T12:00:00Z"}))
    if "createdBefore" in condition:  # a day from today, whatever the day on which the table was read
        condition = {"createdBefore": day(condition["createdBefore"])}
    rules(aging, name, (DELETE, condition))
    assert after(aging, 0.001) == [("Delete", each) for each in gone]


def test_old_versions_go_and_the_live_one_stays(aging: Wire, name: str) -> None:
    rules(aging, name, (DELETE, {"numNewerVersions": 2}), versioning={"enabled": True})
    made = [aging.put(name, "a", b"data")["generation"] for _ in range(4)]
    assert after(aging, 0) == [("Delete", "a")] * 2
    listed = done(aging.call("GET", f"{bucket_path(name)}/o", {"versions": "true"}))["items"]
    assert [item["generation"] for item in listed] == made[2:]


def test_a_live_object_of_a_versioned_bucket_is_archived_first(aging: Wire, name: str) -> None:
    settings = {"versioning": {"enabled": True}}
    rules(aging, name, (DELETE, {"age": 1, "isLive": True}), (DELETE, {"daysSinceNoncurrentTime": 5}), **settings)
    generation = aging.put(name, "a", b"data")["generation"]
    assert after(aging, 2) == [("Delete", "a")] and aging.names(name) == []
    assert aging.read(name, "a", {"generation": generation}).content == b"data"
    assert after(aging, 6) == []
    assert after(aging, 7.1) == [("Delete", "a")]
    assert aging.read(name, "a", {"generation": generation}).status_code == 404


def test_a_class_only_gets_colder_and_a_deletion_wins(aging: Wire, name: str) -> None:
    colder = [({"type": "SetStorageClass", "storageClass": "ARCHIVE"}, {"age": 20})]
    colder += [({"type": "SetStorageClass", "storageClass": "NEARLINE"}, {"age": 10})]
    rules(aging, name, *colder, (DELETE, {"age": 30}))
    before = aging.put(name, "a", b"data")
    assert after(aging, 11) == [("SetStorageClass", "a")]
    nearline = aging.get(name, "a")
    assert (nearline["storageClass"], nearline["generation"]) == ("NEARLINE", before["generation"])
    assert int(nearline["metageneration"]) == 2 and after(aging, 12) == []
    assert after(aging, 21) == [("SetStorageClass", "a")] and aging.get(name, "a")["storageClass"] == "ARCHIVE"
    assert after(aging, 22) == []
    assert after(aging, 31) == [("Delete", "a")]


def test_retention_and_holds_are_stronger_than_a_rule(aging: Wire, name: str) -> None:
    rules(aging, name, (DELETE, {"age": 1}), retentionPolicy={"retentionPeriod": str(10 * 86400)})
    for each in ("a", "held"):
        aging.put(name, each, b"data")
    done(aging.call("PATCH", object_path(name, "held"), document={"temporaryHold": True}))
    assert after(aging, 9.9) == []
    assert after(aging, 10.1) == [("Delete", "a")]
    done(aging.call("PATCH", object_path(name, "held"), document={"temporaryHold": False}))
    assert after(aging, 10.1) == [("Delete", "held")]


def test_what_the_rules_did_is_in_the_feed(aging: Wire, name: str) -> None:
    aging.put(name, "a", b"data")
    rules(aging, name, (DELETE, {"age": 1}))
    after(aging, 2)
    events = done(aging.call("GET", "/_control/events", {"bucket": name}))["events"]
    assert [event["type"] for event in events] == ["finalized", "deleted"]


@pytest.mark.parametrize("at", ["soon", "2026-01-01T00:00:00", 7])
def test_a_moment_needs_its_zone(aging: Wire, at: object) -> None:
    assert aging.call("POST", "/_control/lifecycle", document={"at": at}).status_code == 400
