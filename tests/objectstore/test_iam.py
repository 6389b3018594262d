"""Bucket policies: read, changed and written back under an etag; conditions are not lost by those who know none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import storage

from tests.objectstore.wire import Wire, bucket_path, done, reason

VIEWER = "roles/storage.objectViewer"
UNTIL = {"title": "until", "expression": "request.time < timestamp('2030-01-01T00:00:00Z')"}
Make = Callable[..., storage.Bucket]


def policy(wire: Wire, bucket: str, version: int = 3) -> dict[str, Any]:
    return done(wire.call("GET", f"{bucket_path(bucket)}/iam", {"optionsRequestedPolicyVersion": version}))


def write(wire: Wire, bucket: str, document: Any) -> Any:
    return wire.call("PUT", f"{bucket_path(bucket)}/iam", document=document)


@pytest.fixture
def uniform(wire: Wire, bucket: storage.Bucket) -> str:
    access = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}
    done(wire.call("PATCH", bucket_path(bucket.name), document=access))
    return str(bucket.name)


def test_the_slower_of_two_writers_is_refused_and_changes_nothing(bucket: storage.Bucket) -> None:
    first = bucket.get_iam_policy(requested_policy_version=3)
    second = bucket.get_iam_policy(requested_policy_version=3)
    first.bindings.append({"role": VIEWER, "members": {"user:first@measurement-lab.test"}})
    second.bindings.append({"role": VIEWER, "members": {"user:second@measurement-lab.test"}})
    bucket.set_iam_policy(first)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.set_iam_policy(second)
    again = bucket.get_iam_policy(requested_policy_version=3)
    assert {"role": VIEWER, "members": {"user:first@measurement-lab.test"}} in again.bindings
    again.bindings[-1]["members"].add("user:second@measurement-lab.test")
    bucket.set_iam_policy(again)


def test_each_write_has_a_new_etag_and_metageneration(wire: Wire, bucket: storage.Bucket) -> None:
    seen = []
    for _ in range(3):
        found = policy(wire, bucket.name)
        seen.append((found["etag"], done(wire.call("GET", bucket_path(bucket.name)))["metageneration"]))
        done(write(wire, bucket.name, found))
    assert len({etag for etag, _ in seen}) == 3 and [number for _, number in seen] == ["1", "2", "3"]


def test_a_change_of_the_bucket_does_not_void_the_etag_of_its_policy(wire: Wire, bucket: storage.Bucket) -> None:
    found = policy(wire, bucket.name)
    done(wire.call("PATCH", bucket_path(bucket.name), document={"labels": {"a": "1"}}))
    done(write(wire, bucket.name, found))


def test_a_write_without_an_etag_overwrites(wire: Wire, bucket: storage.Bucket) -> None:
    binding = {"role": VIEWER, "members": ["user:b@measurement-lab.test", "user:a@measurement-lab.test"]}
    done(write(wire, bucket.name, {"bindings": [binding]}))
    assert policy(wire, bucket.name)["bindings"] == [{**binding, "members": sorted(binding["members"])}]


def test_conditions_need_version_3_to_be_written_and_to_be_seen(wire: Wire, uniform: str) -> None:
    binding = {"role": VIEWER, "members": ["user:a@measurement-lab.test"], "condition": UNTIL}
    assert write(wire, uniform, {"bindings": [binding]}).status_code == 400
    done(write(wire, uniform, {"version": 3, "bindings": [binding]}))
    assert policy(wire, uniform)["bindings"] == [binding] and policy(wire, uniform)["version"] == 3
    (shown,) = policy(wire, uniform, version=1)["bindings"]
    assert shown["role"].startswith(f"{VIEWER}_withcond_") and "condition" not in shown


def test_who_knows_no_conditions_does_not_lose_them(wire: Wire, uniform: str) -> None:
    binding = {"role": VIEWER, "members": ["user:a@measurement-lab.test"], "condition": UNTIL}
    done(write(wire, uniform, {"version": 3, "bindings": [binding]}))
    old = policy(wire, uniform, version=1)
    assert write(wire, uniform, old).status_code == 400
    assert policy(wire, uniform)["bindings"] == [binding]


def test_conditions_need_uniform_access(wire: Wire, bucket: storage.Bucket) -> None:
    binding = {"role": VIEWER, "members": ["user:a@measurement-lab.test"], "condition": UNTIL}
    assert write(wire, bucket.name, {"version": 3, "bindings": [binding]}).status_code == 400


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers"])
def test_prevention_of_public_access_refuses_public_members(wire: Wire, bucket: storage.Bucket, member: str) -> None:
    enforced = {"iamConfiguration": {"publicAccessPrevention": "enforced"}}
    done(wire.call("PATCH", bucket_path(bucket.name), document=enforced))
    before = policy(wire, bucket.name)
    answer = write(wire, bucket.name, {"bindings": [{"role": VIEWER, "members": [member]}]})
    assert (answer.status_code, reason(answer)) == (412, "conditionNotMet")
    assert policy(wire, bucket.name) == before


@pytest.mark.parametrize(
    "document",
    [
        {"bindings": {}},
        {"bindings": ["x"]},
        {"bindings": [{"role": "viewer", "members": []}]},
        {"bindings": [{"members": ["allUsers"]}]},
        {"bindings": [{"role": VIEWER, "members": "allUsers"}]},
        {"bindings": [{"role": VIEWER, "members": [7]}]},
        {"bindings": [{"role": VIEWER, "members": ["somebody"]}]},
        {"version": 3, "bindings": [{"role": VIEWER, "members": ["allUsers"], "condition": {"title": "t"}}]},
        {"version": 3, "bindings": [{"role": VIEWER, "members": ["allUsers"], "condition": "x"}]},
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(wire: Wire, uniform: str, document: Any) -> None:
    before = policy(wire, uniform)
    answer = write(wire, uniform, document)
    assert answer.status_code == 400 and policy(wire, uniform) == before


def test_a_binding_without_members_is_none(wire: Wire, bucket: storage.Bucket) -> None:
    done(write(wire, bucket.name, {"bindings": [{"role": VIEWER, "members": []}]}))
    assert policy(wire, bucket.name)["bindings"] == []


def test_permissions_are_tested_and_a_bucket_must_be_there(wire: Wire, bucket: storage.Bucket) -> None:
    asked = ["storage.objects.get", "storage.objects.create"]
    assert bucket.test_iam_permissions(asked) == asked
    for path in ("iam", "iam/testPermissions"):
        assert wire.call("GET", f"/storage/v1/b/nowhere/{path}").status_code == 404
    assert write(wire, "nowhere", {"bindings": []}).status_code == 404
    query = {"optionsRequestedPolicyVersion": 2**8}
    assert wire.call("GET", f"{bucket_path(bucket.name)}/iam", query).status_code == 400
