"""The buckets provider against the real object store, by the suite that all providers pass."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from reconcilers.core.model import Action, Change, Field, Id, Observed, Resource, Risk, Span
from reconcilers.core.provider import Provider
from reconcilers.fleet.model import Environment
from reconcilers.providers import buckets_rules
from reconcilers.providers.buckets import COPIES, BucketsProvider
from reconcilers.providers.buckets_api import Api, bucket_path, object_path
from reconcilers.providers.records import Records
from tests import objectstore_process
from tests.conformance import suite

PROJECT, RECORDS, SITEINFO = "mlab-sandbox", "mlab-reconciler-mlab-sandbox", "siteinfo-mlab-sandbox"


def environment(endpoint: str) -> Environment:
    where = {"endpoint": endpoint, "anonymous": True, "records": RECORDS}
    return Environment("sandbox", PROJECT, "measurement-lab.test", {"targets": {"buckets": where}})


def bucket(name: str, **changes: Any) -> Resource:
    spec: dict[str, Any] = {
        "location": "US",
        "storageClass": "STANDARD",
        "versioning": {"enabled": False},
        "lifecycle": {"rule": []},
        "retentionPolicy": None,
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "inherited"},
        "labels": {"purpose": "test"},
        "cors": [],
    }
    return Resource(Id("Bucket", name), {**spec, **changes}, Span("config/buckets/x.yaml", 3))


def grants(name: str, *members: str) -> Resource:
    bindings = [{"role": "roles/storage.objectViewer", "member": member} for member in sorted(members)]
    deps = frozenset({Id("Bucket", name), Id("Bucket", RECORDS)})
    return Resource(Id("BucketIam", name), {"bindings": bindings}, Span("config/buckets/x.yaml", 9), deps)


def published(name: str, content: str, *after: str) -> Resource:
    spec = {
        "bucket": SITEINFO,
        "name": name,
        "contentType": "application/json",
        "cacheControl": "private, max-age=0, no-transform",
        "content": content,
    }
    deps = {Id("Bucket", SITEINFO), *(Id("Object", f"{SITEINFO}/{other}") for other in after)}
    return Resource(Id("Object", f"{SITEINFO}/{name}"), spec, Span("config/sites/"), frozenset(deps))


BASE = (bucket("archive-mlab-sandbox"), bucket(RECORDS), bucket(SITEINFO))


class BucketsHarness:
    lock_ttl_s = 0.5
    first: Sequence[Resource] = (
        *BASE,
        grants(SITEINFO, "allUsers", "user:one@measurement-lab.test"),
        published("v2/a.json", '{"a": 1}\n'),
        published("v2/gone.json", "{}\n"),
        published("v2/index.json", '{"v": 1}\n', "v2/a.json", "v2/gone.json"),
    )
    second: Sequence[Resource] = (
        replace(BASE[0], spec={**BASE[0].spec, "versioning": {"enabled": True}}),
        *BASE[1:],
        grants(SITEINFO, "allUsers", "user:two@measurement-lab.test"),
        published("v2/a.json", '{"a": 2}\n'),
        published("v2/new.json", "[]\n"),
        published("v2/index.json", '{"v": 2}\n', "v2/a.json", "v2/new.json"),
    )

    def __init__(self, url: str) -> None:
        self.url = url
        self.api = Api(environment(url))
        self.reset()

    def provider(self) -> Provider:
        return BucketsProvider(environment(self.url))

    def unreachable(self) -> Provider:
        return BucketsProvider(environment("http://127.0.0.1:9"))

    def reset(self) -> None:
        for found in list(self.api.pages("/b", {"project": PROJECT})):
            for item in list(self.api.pages(f"{bucket_path(found['name'])}/o", {"versions": "true"})):
                path = object_path(found["name"], item["name"])
                self.api.call("DELETE", path, {"generation": item["generation"]})
            self.api.call("DELETE", bucket_path(found["name"]))

    def state(self) -> Any:
        live: dict[str, Any] = {}
        for found in self.api.pages("/b", {"project": PROJECT}):
            name = found["name"]
            if not found.get("labels", {}).get("mlab-owner"):
                continue
            kept = ("location", "versioning", "lifecycle", "iamConfiguration", "labels")
            live[name] = {key: found.get(key) for key in kept}
            live[name]["iamConfiguration"].pop("bucketPolicyOnly", None)  # the former name of what follows it
            live[name]["iamConfiguration"]["uniformBucketLevelAccess"].pop("lockedTime", None)  # the server's clock
            live[name]["labels"] = {k: v for k, v in found["labels"].items() if k != "mlab-commit"}
            policy = self.api.call("GET", f"{bucket_path(name)}/iam", {"optionsRequestedPolicyVersion": 3})
            live[name]["iam"] = sorted(json.dumps(binding, sort_keys=True) for binding in policy.get("bindings", ()))
            for item in self.api.pages(f"{bucket_path(name)}/o", {}):
                if item.get("metadata", {}).get("mlab-owner") and not item["name"].startswith(COPIES):
                    live[f"{name}/{item['name']}"] = (item["crc32c"], item["contentType"], item.get("cacheControl"))
        return live

    def put_unmarked(self, resource: Resource) -> None:
        assert resource.id.kind == "Bucket"
        self.api.call("POST", "/b", {"project": PROJECT}, {"name": resource.id.name, "location": "US"})

    def put_foreign(self) -> Id:
        body = {"name": "somebody-elses", "location": "EU", "labels": {"team": "other"}}
        self.api.call("POST", "/b", {"project": PROJECT}, body)
        return Id("Bucket", "somebody-elses")

    def foreign_state(self) -> Any:
        return self.api.call("GET", bucket_path("somebody-elses"))

    def drift(self) -> Id:
        resource = {"name": "v2/a.json", "contentType": "application/json", "metadata": self._mark()}
        self.api.upload(SITEINFO, resource, b'{"a": "by hand"}\n', {})
        return Id("Object", f"{SITEINFO}/v2/a.json")

    def _mark(self) -> Mapping[str, str]:
        live = self.api.call("GET", object_path(SITEINFO, "v2/a.json"))
        found: Mapping[str, str] = live["metadata"]
        return found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with objectstore_process.running(tmp_path_factory.mktemp("objectstore")) as found:
        yield found


@pytest.fixture
def harness(url: str) -> BucketsHarness:
    return BucketsHarness(url)


@pytest.mark.xdist_group("buckets")
class TestBuckets(suite.Conformance):
    """The shared suite; one store for all of its tests, emptied before each."""


@pytest.mark.xdist_group("buckets")
def test_other_peoples_grants_and_conditions_stay(harness: BucketsHarness) -> None:
    suite.applied(harness, harness.first)
    path = f"{bucket_path(SITEINFO)}/iam"
    policy = harness.api.call("GET", path, {"optionsRequestedPolicyVersion": 3})
    theirs = {"role": "roles/storage.objectAdmin", "members": ["user:their@measurement-lab.test"]}
    conditional = {
        "role": "roles/storage.objectViewer",
        "members": ["user:until@measurement-lab.test"],
        "condition": {"title": "until", "expression": "request.time < timestamp('2030-01-01T00:00:00Z')"},
    }
    policy["version"] = 3
    policy["bindings"] = [*policy["bindings"], theirs, conditional]
    harness.api.call("PUT", path, {}, policy)
    suite.applied(harness, harness.second)
    after = harness.api.call("GET", path, {"optionsRequestedPolicyVersion": 3})["bindings"]
    assert theirs in after and conditional in after
    viewers = [b["members"] for b in after if b["role"] == "roles/storage.objectViewer" and "condition" not in b]
    assert viewers == [["allUsers", "user:two@measurement-lab.test"]]


@pytest.mark.xdist_group("buckets")
def test_the_records_of_an_environment_keep_their_former_versions(harness: BucketsHarness) -> None:
    suite.applied(harness, harness.first)
    records = Records(environment(harness.url))
    assert records.read_applied("sandbox") == (None, 0)
    records.write_applied("sandbox", {"commit": "a", "finished": "1"}, 0)
    document, generation = records.read_applied("sandbox")
    assert document == {"commit": "a", "finished": "1"}
    records.write_applied("sandbox", {"commit": "b", "finished": "2"}, generation)
    names = [item["name"] for item in harness.api.pages(f"{bucket_path(RECORDS)}/o", {"prefix": "applied/"})]
    assert names == ["applied/history/sandbox/1.json", "applied/history/sandbox/2.json", "applied/sandbox.json"]


def update(before: Mapping[str, Any], after: Mapping[str, Any]) -> Change:
    resource = bucket("b", **after)
    live = Observed(resource.id, bucket("b", **before).spec, None, token="1")
    fields = (Field(("x",), 1, 2),)
    return buckets_rules.assess(Change(Action.UPDATE, resource.id, resource, live, fields))


def rule(age: int, action: str = "Delete") -> dict[str, Any]:
    return {"lifecycle": {"rule": [{"action": {"type": action}, "condition": {"age": age}}]}}


def kept(period_s: int, locked: bool = False) -> dict[str, Any]:
    return {"retentionPolicy": {"retentionPeriod": str(period_s), "isLocked": locked}}


@pytest.mark.parametrize(
    ("before", "after", "risk"),
    [
        ({}, rule(30), Risk.DESTRUCTIVE),
        (rule(30), rule(29), Risk.DESTRUCTIVE),
        (rule(30), rule(31), Risk.SAFE),
        (rule(30), {}, Risk.SAFE),
        ({}, rule(1, "SetStorageClass"), Risk.SAFE),
        ({}, kept(60), Risk.DISRUPTIVE),
        (kept(60), kept(59), Risk.DESTRUCTIVE),
        (kept(60), kept(60, locked=True), Risk.IRREVERSIBLE),
    ],
)
def test_what_loses_data_is_said_to(before: Mapping[str, Any], after: Mapping[str, Any], risk: Risk) -> None:
    assert update(before, after).risk is risk


@pytest.mark.parametrize(
    ("before", "after"),
    [({"location": "US"}, {"location": "EU"}), (kept(60, locked=True), kept(59, locked=True))],
)
def test_the_impossible_is_blocked_with_advice(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    judged = update(before, after)
    assert judged.impossible and judged.blocked
