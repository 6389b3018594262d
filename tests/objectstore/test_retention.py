"""What must not disappear does not: retention periods, their lock, and holds, on every way to lose an object."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from tests.objectstore.wire import Wire, bucket_path, done, object_path, reason

YEAR_S = 365 * 86400
Make = Callable[..., storage.Bucket]
Loss = Callable[[Wire, str], requests.Response]


def delete(wire: Wire, bucket: str) -> requests.Response:
    return wire.call("DELETE", object_path(bucket, "a"))


def delete_generation(wire: Wire, bucket: str) -> requests.Response:
    return wire.call("DELETE", object_path(bucket, "a"), {"generation": wire.get(bucket, "a")["generation"]})


def overwrite(wire: Wire, bucket: str) -> requests.Response:
    return wire.upload(bucket, "a", b"other")


def copy_onto(wire: Wire, bucket: str) -> requests.Response:
    return wire.call("POST", f"{object_path(bucket, 'b')}/copyTo{object_path(bucket, 'a').removeprefix('/storage/v1')}")


def compose_onto(wire: Wire, bucket: str) -> requests.Response:
    return wire.call("POST", f"{object_path(bucket, 'a')}/compose", document={"sourceObjects": [{"name": "b"}]})


def move_away(wire: Wire, bucket: str) -> requests.Response:
    return wire.call("POST", f"{object_path(bucket, 'a')}/moveTo/o/c")


LOSSES: tuple[Loss, ...] = (delete, delete_generation, overwrite, copy_onto, compose_onto, move_away)


def filled(wire: Wire, bucket: str) -> None:
    for name in ("a", "b"):
        wire.put(bucket, name, name.encode())


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_retention_forbids_every_loss(wire: Wire, make_bucket: Make, loss: Loss) -> None:
    bucket = make_bucket(retention_period=YEAR_S).name
    filled(wire, bucket)
    before = wire.get(bucket, "a")
    answer = loss(wire, bucket)
    assert (answer.status_code, reason(answer)) == (403, "retentionPolicyNotMet")
    assert wire.get(bucket, "a") == before and wire.names(bucket) == ["a", "b"]
    made, expires = (datetime.fromisoformat(before[key]) for key in ("timeCreated", "retentionExpirationTime"))
    assert expires - made == timedelta(seconds=YEAR_S)
    done(wire.call("PATCH", bucket_path(bucket), document={"retentionPolicy": None}))
    assert loss(wire, bucket).ok


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("hold", ["temporaryHold", "eventBasedHold"])
def test_a_hold_forbids_every_loss(wire: Wire, bucket: storage.Bucket, loss: Loss, hold: str) -> None:
    filled(wire, bucket.name)
    before = done(wire.call("PATCH", object_path(bucket.name, "a"), document={hold: True}))
    answer = loss(wire, bucket.name)
    assert (answer.status_code, reason(answer)) == (403, "objectUnderActiveHold")
    assert wire.get(bucket.name, "a") == before
    done(wire.call("PATCH", object_path(bucket.name, "a"), document={hold: False}))
    assert loss(wire, bucket.name).ok


def test_with_versioning_an_overwrite_is_no_loss(wire: Wire, make_bucket: Make) -> None:
    bucket = make_bucket(retention_period=YEAR_S, versioning_enabled=True).name
    first = wire.put(bucket, "a", b"first")["generation"]
    assert overwrite(wire, bucket).ok and delete(wire, bucket).ok
    answer = wire.call("DELETE", object_path(bucket, "a"), {"generation": first})
    assert (answer.status_code, reason(answer)) == (403, "retentionPolicyNotMet")
    assert wire.read(bucket, "a", {"generation": first}).content == b"first"


def test_metadata_may_change_under_retention(wire: Wire, make_bucket: Make) -> None:
    bucket = make_bucket(retention_period=YEAR_S).name
    filled(wire, bucket)
    assert (
        done(wire.call("PATCH", object_path(bucket, "a"), document={"metadata": {"k": "v"}}))["metageneration"] == "2"
    )


def test_a_period_that_is_over_frees_the_object(wire: Wire, make_bucket: Make) -> None:
    bucket = make_bucket(retention_period=1).name
    filled(wire, bucket)
    until = wire.get(bucket, "a")["retentionExpirationTime"]
    while not (answer := delete(wire, bucket)).ok:
        assert reason(answer) == "retentionPolicyNotMet"
    wire.put(bucket, "c", b"data")
    assert wire.get(bucket, "c")["timeCreated"] >= until


def test_a_locked_policy_only_grows(wire: Wire, bucket: storage.Bucket) -> None:
    path = bucket_path(bucket.name)

    def period(value: int | None) -> requests.Response:
        policy = None if value is None else {"retentionPeriod": str(value)}
        return wire.call("PATCH", path, document={"retentionPolicy": policy})

    lock = f"{path}/lockRetentionPolicy"
    assert wire.call("POST", lock, {"ifMetagenerationMatch": 1}).status_code == 400
    effective = done(period(100))["retentionPolicy"]["effectiveTime"]
    assert done(period(90))["retentionPolicy"]["effectiveTime"] >= effective
    assert wire.call("POST", lock, {"ifMetagenerationMatch": 2}).status_code == 412
    locked = done(wire.call("POST", lock, {"ifMetagenerationMatch": 3}))
    assert locked["retentionPolicy"]["isLocked"] is True and locked["metageneration"] == "4"
    for refused in (period(89), period(None), wire.call("PUT", path, document={})):
        assert refused.status_code == 403, refused.text
    assert done(period(91))["retentionPolicy"] == {
        "retentionPeriod": "91",
        "effectiveTime": done(wire.call("GET", path))["retentionPolicy"]["effectiveTime"],
        "isLocked": True,
    }


def test_nobody_locks_but_by_the_call_for_it(wire: Wire, bucket: storage.Bucket) -> None:
    document = {"retentionPolicy": {"retentionPeriod": "100", "isLocked": True}}
    assert "isLocked" not in done(wire.call("PATCH", bucket_path(bucket.name), document=document))["retentionPolicy"]


def test_the_client_locks_and_is_refused(bucket: storage.Bucket) -> None:
    bucket.retention_period = 100
    bucket.patch()
    bucket.lock_retention_policy()
    assert bucket.retention_policy_locked
    bucket.retention_period = 99
    with pytest.raises(exceptions.Forbidden):
        bucket.patch()
    blob = bucket.blob("a")
    blob.upload_from_string(b"data")
    with pytest.raises(exceptions.Forbidden):
        blob.delete()


def test_a_bucket_may_put_new_objects_on_hold(wire: Wire, make_bucket: Make) -> None:
    bucket = make_bucket(default_event_based_hold=True).name
    assert wire.put(bucket, "a", b"data")["eventBasedHold"] is True
    assert reason(delete(wire, bucket)) == "objectUnderActiveHold"


def test_a_copy_is_not_on_hold(wire: Wire, bucket: storage.Bucket) -> None:
    filled(wire, bucket.name)
    done(wire.call("PATCH", object_path(bucket.name, "b"), document={"temporaryHold": True}))
    assert "temporaryHold" not in done(copy_onto(wire, bucket.name))
