"""Buckets and their settings: kept as given, checked as the service checks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import storage

from tests.objectstore.wire import Wire, bucket_path, done, object_path, reason


def lifecycle(action: object, condition: object) -> dict[str, Any]:
    return {"lifecycle": {"rule": [{"action": action, "condition": condition}]}}


DELETE = {"type": "Delete"}


def test_the_client_makes_finds_and_removes_a_bucket(client: storage.Client, bucket: storage.Bucket) -> None:
    with pytest.raises(exceptions.Conflict):
        client.create_bucket(bucket.name)
    assert bucket.name in [found.name for found in client.list_buckets()]
    bucket.blob("a").upload_from_string(b"data")
    with pytest.raises(exceptions.Conflict):
        bucket.delete()
    bucket.delete_blob("a")
    bucket.delete()
    assert not bucket.exists()
    with pytest.raises(exceptions.NotFound):
        bucket.delete()


def test_the_client_reads_back_every_setting(client: storage.Client, bucket: storage.Bucket) -> None:
    bucket.labels = {"purpose": "test"}
    bucket.cors = [{"origin": ["*"], "method": ["GET"], "maxAgeSeconds": 60}]
    bucket.versioning_enabled = True
    bucket.retention_period = 60
    bucket.storage_class = "NEARLINE"
    bucket.default_event_based_hold = True
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    bucket.iam_configuration.public_access_prevention = "enforced"
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.add_lifecycle_delete_rule(age=30, matches_prefix=["tmp/"])
    bucket.add_lifecycle_set_storage_class_rule("COLDLINE", number_of_newer_versions=2)
    bucket.patch()
    found = client.get_bucket(bucket.name)
    assert found.labels == {"purpose": "test"} and found.cors == bucket.cors and found.versioning_enabled
    assert found.retention_period == 60 and not found.retention_policy_locked and found.storage_class == "NEARLINE"
    assert found.default_event_based_hold and found.soft_delete_policy.retention_duration_seconds == 0
    assert found.iam_configuration.uniform_bucket_level_access_enabled
    assert found.iam_configuration.public_access_prevention == "enforced"
    assert list(found.lifecycle_rules) == list(bucket.lifecycle_rules) and len(list(found.lifecycle_rules)) == 2
    assert found.metageneration == 2


def test_a_new_bucket_has_the_service_defaults(wire: Wire) -> None:
    made = wire.make_bucket("defaults", location="eu", versioning=None)
    assert (made["location"], made["locationType"], made["storageClass"]) == ("EU", "multi-region", "STANDARD")
    assert made["softDeletePolicy"]["retentionDurationSeconds"] == "604800"
    assert made["iamConfiguration"]["publicAccessPrevention"] == "inherited" and made["metageneration"] == "1"
    assert not made.keys() & {"labels", "lifecycle", "cors", "retentionPolicy", "versioning"}
    wire.put("defaults", "a", b"data")


def test_a_deleted_object_is_gone_whatever_the_soft_delete_policy(wire: Wire, bucket: storage.Bucket) -> None:
    """The policy is stored for those who reconcile it; nothing is kept for a restore."""
    wire.put(bucket.name, "a", b"data")
    done(wire.call("DELETE", object_path(bucket.name, "a")))
    assert wire.names(bucket.name, {"softDeleted": "true"}) == []
    assert wire.call("POST", f"{object_path(bucket.name, 'a')}/restore", {"generation": 1}).status_code == 404


def test_a_patch_merges_and_an_update_replaces(wire: Wire, bucket: storage.Bucket) -> None:
    path = bucket_path(bucket.name)
    first = done(wire.call("PATCH", path, document={"labels": {"a": "1", "b": "2"}, "cors": [{"origin": ["*"]}]}))
    second = done(wire.call("PATCH", path, document={"labels": {"a": None, "c": "3"}}))
    assert second["labels"] == {"b": "2", "c": "3"} and second["cors"] == first["cors"]
    third = done(wire.call("PUT", path, document={"labels": {"d": "4"}}))
    assert third["labels"] == {"d": "4"} and "cors" not in third
    assert [found["metageneration"] for found in (first, second, third)] == ["2", "3", "4"]
    assert len({found["etag"] for found in (first, second, third)}) == 3


@pytest.mark.parametrize(
    "name", ["", "ab", "Upper", "under_score_is_fine_but-not-a-dot..dot", "-a-b", "goog-x", "a b c", "x" * 223]
)
def test_a_bucket_must_have_a_legal_name(wire: Wire, name: str) -> None:
    answer = wire.call("POST", "/storage/v1/b", {"project": "p"}, document={"name": name})
    assert answer.status_code == 400, answer.text


def test_a_bucket_must_have_a_project(wire: Wire) -> None:
    answer = wire.call("POST", "/storage/v1/b", document={"name": "orphan"})
    assert (answer.status_code, reason(answer)) == (400, "required")


@pytest.mark.parametrize(
    "document",
    [
        {"storageClass": "TEPID"},
        {"labels": {"Upper": "x"}},
        {"labels": {"a": "Upper"}},
        {"labels": {"a": 1}},
        {"labels": {f"l{number}": "x" for number in range(65)}},
        {"labels": [1]},
        {"versioning": True},
        {"versioning": {"enabled": "yes"}},
        {"cors": {"origin": ["*"]}},
        {"retentionPolicy": {"retentionPeriod": "0"}},
        {"retentionPolicy": {"retentionPeriod": "soon"}},
        {"retentionPolicy": {"retentionPeriod": "3155760001"}},
        {"iamConfiguration": {"publicAccessPrevention": "perhaps"}},
        {"iamConfiguration": {"uniformBucketLevelAccess": True}},
        {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": "yes"}}},
        {"lifecycle": {"rule": {}}},
        lifecycle({"type": "Vanish"}, {"age": 1}),
        lifecycle({"type": "SetStorageClass"}, {"age": 1}),
        lifecycle({"type": "SetStorageClass", "storageClass": "TEPID"}, {"age": 1}),
        lifecycle(DELETE, {}),
        lifecycle(DELETE, None),
        lifecycle(DELETE, {"age": -1}),
        lifecycle(DELETE, {"age": True}),
        lifecycle(DELETE, {"moonPhase": "full"}),
        lifecycle(DELETE, {"createdBefore": "2026-13-01"}),
        lifecycle(DELETE, {"matchesPrefix": "tmp/"}),
        lifecycle(DELETE, {"isLive": "no"}),
        {"location": "MARS"},
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_refused(wire: Wire, bucket: storage.Bucket, document: Any) -> None:
    before = done(wire.call("GET", bucket_path(bucket.name)))
    answer = wire.call("PATCH", bucket_path(bucket.name), document=document)
    assert (answer.status_code, reason(answer)) == (400, "invalid"), answer.text
    assert done(wire.call("GET", bucket_path(bucket.name))) == before


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff"])
def test_a_body_that_is_no_document_is_refused(wire: Wire, bucket: storage.Bucket, body: bytes) -> None:
    answer = wire.call("PATCH", bucket_path(bucket.name), content=body)
    assert (answer.status_code, reason(answer)) == (400, "parseError")


def test_buckets_are_listed_by_project_prefix_and_page(wire: Wire) -> None:
    for name in ("list-a", "list-b", "list-c", "other-d"):
        done(wire.call("POST", "/storage/v1/b", {"project": "list"}, document={"name": name}))
    names, token = [], ""
    while True:
        query = {"project": "list", "prefix": "list-", "maxResults": 2, "pageToken": token}
        page = done(wire.call("GET", "/storage/v1/b", query))
        names.append([found["name"] for found in page["items"]])
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert names == [["list-a", "list-b"], ["list-c"]]
    assert done(wire.call("GET", "/storage/v1/b", {"project": "nobody"})).get("items") is None
    assert wire.call("GET", "/storage/v1/b").status_code == 400


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/storage/v1/b/nowhere", "/storage/v1/b/nowhere/o/a"])
def test_what_is_not_there_is_404_and_says_what(wire: Wire, method: str, path: str) -> None:
    answer = wire.call(method, path, document={} if method in ("PATCH", "PUT") else None)
    assert (answer.status_code, reason(answer)) == (404, "notFound")
    assert "nowhere" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/storage/v1/c", "/storage/v1/b/x/o/%FF", "/_control/nothing"])
def test_an_address_of_nothing_is_refused(wire: Wire, path: str) -> None:
    assert wire.call("GET", path).status_code in (400, 404)


def test_object_acls_are_refused_in_words(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"data")
    with pytest.raises(exceptions.BadRequest, match="uniform bucket-level access"):
        blob.make_public()


def test_the_health_check_answers(wire: Wire) -> None:
    assert done(wire.call("GET", "/healthz")) == {"status": "ok"}


def test_a_bucket_made_anew_is_another_one(wire: Wire, make_bucket: Callable[..., storage.Bucket]) -> None:
    bucket = make_bucket(labels={"a": "1"})
    first = wire.put(bucket.name, "a", b"data")
    done(wire.call("DELETE", object_path(bucket.name, "a")))
    done(wire.call("DELETE", bucket_path(bucket.name)))
    assert "labels" not in wire.make_bucket(bucket.name)
    assert int(wire.put(bucket.name, "a", b"data")["generation"]) > int(first["generation"])
