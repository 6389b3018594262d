"""The buckets provider against the real object store, by the suite that all providers pass."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from reconcilers.core.model import Action, Change, Field, Id, Observed, Resource, Result, Risk, Span
from reconcilers.core.provider import Provider
from reconcilers.fleet import published as published_files
from reconcilers.fleet.model import Environment
from reconcilers.providers.buckets import rules as buckets_rules
from reconcilers.providers.buckets.api import Api, bucket_path, object_path
from reconcilers.providers.buckets.provider import COPIES, BucketsProvider
from reconcilers.providers.records import Records
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
    spec: dict[str, Any] = {
        "bucket": SITEINFO,
        "name": name,
        "contentType": "application/json",
        "cacheControl": "private, max-age=0, no-transform",
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
        "size": len(content.encode()),
    }
    if name == published_files.EMBARGO:
        spec["rules"] = published_files.embargo_by_name(content.encode())
    deps = {Id("Bucket", SITEINFO), *(Id("Object", f"{SITEINFO}/{other}") for other in after)}
    identity = Id("Object", f"{SITEINFO}/{name}")
    return Resource(identity, spec, Span("config/sites/"), frozenset(deps), payload=content.encode())


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
        structs.replace(BASE[0], spec={**BASE[0].spec, "versioning": {"enabled": True}}),
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


@pytest.mark.xdist_group("buckets")
def test_audit_lines_go_to_a_bucket_of_their_own_and_sending_them_twice_is_harmless(harness: BucketsHarness) -> None:
    year = {"retentionPolicy": {"retentionPeriod": "31536000", "isLocked": False}}
    harness.api.call("POST", "/b", {"project": PROJECT}, {"name": "audit-mlab-sandbox", **year})
    base = environment(harness.url)
    where = {**base.data["targets"]["buckets"], "audit": "audit-mlab-sandbox"}
    records = Records(replace(base, data={"targets": {"buckets": where}}))
    for _ in range(2):
        records.append_audit("sandbox", "run-1", b'{"outcome": "applied"}\n')
    (kept,) = harness.api.pages(f"{bucket_path('audit-mlab-sandbox')}/o", {})
    assert kept["name"] == "audit/sandbox/run-1.jsonl"
    harness.api.call("PATCH", bucket_path("audit-mlab-sandbox"), {}, {"retentionPolicy": None})


@pytest.mark.xdist_group("buckets")
def test_of_two_runs_in_one_second_the_later_one_wrote_last(harness: BucketsHarness) -> None:
    records = Records(environment(harness.url))
    harness.api.call("POST", "/b", {"project": PROJECT}, {"name": RECORDS})
    for chance, action in (("ffffff", "adopt"), ("000000", "create"), ("7f3a9c", "update")):
        line = {"scope": "sandbox/epoxy", "id": "Host/a", "outcome": "applied", "action": action}
        records.append_audit("sandbox", f"2026-03-01T10:00:00Z-{chance}", json.dumps(line).encode())
    records.append_audit("sandbox", "2026-03-01T09:59:59Z-ffffff", json.dumps(line | {"action": "delete"}).encode())
    last = records.last_change("sandbox", "sandbox/epoxy", "Host/a")
    assert last is not None and last["action"] == "update"


def update(before: Mapping[str, Any], after: Mapping[str, Any]) -> Change:
    resource = bucket("b", **after)
    live = Observed(resource.id, bucket("b", **before).spec, None, token="1")
    fields = (Field(("x",), 1, 2),)
    return buckets_rules.assess(Change(Action.UPDATE, resource.id, resource, live, fields))


def rule(age: int, action: str = "Delete") -> dict[str, Any]:
    return {"lifecycle": {"rule": [{"action": {"type": action}, "condition": {"age": age}}]}}


def kept(period_s: int, locked: bool = False) -> dict[str, Any]:
    return {"retentionPolicy": {"retentionPeriod": str(period_s), "isLocked": locked}}


def soft(period_s: int) -> dict[str, Any]:
    return {"softDeletePolicy": {"retentionDurationSeconds": str(period_s)}}


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
        ({"versioning": {"enabled": True}}, {}, Risk.DISRUPTIVE),
        (soft(60), soft(59), Risk.DISRUPTIVE),
        (soft(60), soft(61), Risk.SAFE),
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


@pytest.mark.xdist_group("buckets")
def test_a_copy_of_an_object_or_bucket_with_its_marks_is_not_ours(harness: BucketsHarness) -> None:
    suite.applied(harness, harness.first)
    marks = harness.api.call("GET", object_path(SITEINFO, "v2/a.json"))["metadata"]
    harness.api.upload(SITEINFO, {"name": "backup/a.json", "metadata": marks}, b"{}", {"ifGenerationMatch": 0})
    labels = harness.api.call("GET", bucket_path("archive-mlab-sandbox"))["labels"]
    harness.api.call("POST", "/b", {"project": PROJECT}, {"name": "a-copy", "location": "US", "labels": labels})
    assert suite.summary(suite.plan(harness.provider(), harness.first)) == []


@pytest.mark.xdist_group("buckets")
def test_soft_deletion_is_set_and_its_drift_is_seen(harness: BucketsHarness) -> None:
    day = {"softDeletePolicy": {"retentionDurationSeconds": "86400"}}
    desired = (bucket("archive-mlab-sandbox", **day), *harness.first[1:])
    suite.applied(harness, desired)
    path = bucket_path("archive-mlab-sandbox")
    assert harness.api.call("GET", path)["softDeletePolicy"]["retentionDurationSeconds"] == "86400"
    harness.api.call("PATCH", path, {}, {"softDeletePolicy": {"retentionDurationSeconds": "0"}})
    (change,) = suite.plan(harness.provider(), desired).changes
    assert [field.path for field in change.fields] == [("softDeletePolicy", "retentionDurationSeconds")]


@pytest.mark.xdist_group("buckets")
def test_the_records_bucket_is_never_deleted(harness: BucketsHarness) -> None:
    suite.applied(harness, harness.first)
    made = suite.plan(harness.provider(), [r for r in harness.first if r.id.name != RECORDS])
    (change,) = [c for c in made.changes if c.id == Id("Bucket", RECORDS)]
    assert change.impossible and change.blocked and "lock and records" in change.blocked


@pytest.mark.xdist_group("buckets")
def test_the_index_of_a_set_is_not_written_while_a_file_of_it_is_blocked(harness: BucketsHarness) -> None:
    rules = embargo("365d")
    first = (*BASE, published("embargo/rules.json", rules), index(rules))
    suite.applied(harness, first)
    loose = embargo("30d")
    result = suite.apply(harness.provider(), (*BASE, published("embargo/rules.json", loose), index(loose)))
    found = {o.change.id.name: o.result for o in result.outcomes}
    name = f"{SITEINFO}/embargo"
    assert found == {f"{name}/rules.json": Result.BLOCKED, f"{name}/index.json": Result.SKIPPED}
    assert suite.plan(harness.provider(), first).changes == ()


def embargo(period: str, **changes: Any) -> str:
    rule = {"name": "third-party", "state": "active", "period": period, "datatypes": ["a", "b"], "match": {}}
    return json.dumps({"v": 1, "rules": [{**rule, **changes}]})


def index(content: str) -> Resource:
    made = published("embargo/index.json", json.dumps({"of": content}), "embargo/rules.json")
    return structs.replace(made, exact=True)


@pytest.mark.parametrize(
    ("after", "risk"),
    [
        (embargo("366d"), Risk.SAFE),
        (embargo("365d", datatypes=["a", "b", "c"]), Risk.SAFE),
        (embargo("364d"), Risk.IRREVERSIBLE),
        (embargo("365d", state="lifted"), Risk.IRREVERSIBLE),
        (embargo("365d", datatypes=["a"]), Risk.IRREVERSIBLE),
        (embargo("365d", match={"file_contains": "x"}), Risk.IRREVERSIBLE),
        ('{"rules": []}', Risk.IRREVERSIBLE),
        ("rubbish", Risk.IRREVERSIBLE),
        (None, Risk.IRREVERSIBLE),
    ],
)
def test_an_embargo_that_holds_back_less_is_irreversible(after: str | None, risk: Risk) -> None:
    name = "embargo/rules.json"
    before = published(name, embargo("365d"))
    live = Observed(before.id, before.spec, None, token="1")
    desired = None if after is None else published(name, after)
    action = Action.DELETE if desired is None else Action.UPDATE
    judged = buckets_rules.assess(Change(action, before.id, desired, live, (Field(("content",), 1, 2),)))
    assert judged.risk is risk
    assert risk is Risk.SAFE or "third-party" in judged.reason


@pytest.mark.parametrize(
    ("before", "after", "risk"),
    [
        (None, ["allUsers"], Risk.DISRUPTIVE),
        (["user:a"], ["allUsers", "user:a"], Risk.DESTRUCTIVE),
        (["user:a"], ["allAuthenticatedUsers"], Risk.DESTRUCTIVE),
        (["allUsers"], ["allUsers", "user:a"], Risk.DISRUPTIVE),
        (["allUsers"], ["user:a"], Risk.DISRUPTIVE),
    ],
)
def test_opening_a_bucket_to_everybody_counts_as_a_deletion(
    before: list[str] | None, after: list[str], risk: Risk
) -> None:
    wanted = grants("archive-mlab-sandbox", *after)
    live = None if before is None else Observed(wanted.id, grants("archive-mlab-sandbox", *before).spec, None)
    action = Action.CREATE if live is None else Action.UPDATE
    assert buckets_rules.assess(Change(action, wanted.id, wanted, live)).risk is risk
