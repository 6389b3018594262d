"""Buckets, who may use them, and the published objects: specs in the store's own terms, and the order of writing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from reconcilers.core import plan
from reconcilers.core.model import Id, Resource, Span
from reconcilers.fleet.model import Entity
from reconcilers.render import buckets
from tests import fleet_values as values


def entity(name: str, **data: Any) -> Entity:
    document = {
        "kind": "Bucket",
        "name": name,
        "purpose": "A test.",
        "projects": ["mlab-sandbox", "mlab-staging", "mlab-oti"],
        "location": "US",
        "publicAccessPrevention": "enforced",
        "iam": [],
        **data,
    }
    path = f"config/buckets/{name}.yaml"
    return Entity("Bucket", name, document, Span(path, 2, 1), {"iam": Span(path, 9, 1)})


def rendered(*entities: Entity, name: str = "sandbox") -> dict[Id, Resource]:
    fleet = values.fleet(values.lga05(), buckets=entities)
    resources = buckets.resources(fleet, values.environment(name))
    assert list(resources) == sorted(resources, key=lambda resource: resource.id)
    return {resource.id: resource for resource in resources}


def test_a_bucket_with_every_default_still_owns_every_field() -> None:
    resource = rendered(entity("pusher-{project}"))[Id("Bucket", "pusher-mlab-sandbox")]
    assert resource.spec == {
        "location": "US",
        "storageClass": "STANDARD",
        "versioning": {"enabled": False},
        "lifecycle": {"rule": []},
        "retentionPolicy": None,
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "enforced",
        },
        "labels": {},
        "cors": [],
    }
    assert (resource.protect, resource.adopt) == (True, False)
    assert resource.span == Span("config/buckets/pusher-{project}.yaml", 2, 1)


def test_a_bucket_says_what_its_file_says() -> None:
    rule = {"action": {"type": "Delete"}, "condition": {"age": 30}}
    resource = rendered(
        entity(
            "pusher-{project}",
            storageClass="NEARLINE",
            versioning=True,
            lifecycle=[rule],
            retention={"period_s": 86400, "locked": True},
            softDelete_s=604800,
            labels={"team": "data"},
            cors=[{"origin": ["*"], "method": ["GET"]}],
            protect=False,
            adopt=True,
        )
    )[Id("Bucket", "pusher-mlab-sandbox")]
    assert resource.spec["storageClass"] == "NEARLINE"
    assert resource.spec["versioning"] == {"enabled": True}
    assert resource.spec["lifecycle"] == {"rule": [rule]}
    assert resource.spec["retentionPolicy"] == {"retentionPeriod": "86400", "isLocked": True}
    assert resource.spec["softDeletePolicy"] == {"retentionDurationSeconds": "604800"}
    assert resource.spec["labels"] == {"team": "data"}
    assert resource.spec["cors"] == [{"origin": ["*"], "method": ["GET"]}]
    assert (resource.protect, resource.adopt) == (False, True)


def test_grants_are_single_sorted_and_filled_in() -> None:
    grants = [
        {"role": "roles/storage.objectViewer", "members": ["allUsers"]},
        {
            "role": "roles/storage.objectAdmin",
            "members": ["serviceAccount:b@{project}.example", "serviceAccount:a@{project}.example"],
        },
        {"role": "roles/storage.objectViewer", "members": ["allUsers"]},
    ]
    resource = rendered(entity("pusher-{project}", iam=grants))[Id("BucketIam", "pusher-mlab-sandbox")]
    assert resource.spec == {
        "bindings": [
            {"role": "roles/storage.objectAdmin", "member": "serviceAccount:a@mlab-sandbox.example"},
            {"role": "roles/storage.objectAdmin", "member": "serviceAccount:b@mlab-sandbox.example"},
            {"role": "roles/storage.objectViewer", "member": "allUsers"},
        ]
    }
    assert resource.deps == {Id("Bucket", "pusher-mlab-sandbox")}
    assert resource.span.line == 9


def test_a_bucket_exists_only_in_its_projects() -> None:
    only = entity("public-archive", projects=["mlab-oti"])
    assert Id("Bucket", "public-archive") not in rendered(only, name="staging")
    assert Id("Bucket", "public-archive") in rendered(only, name="production")


def test_published_files_go_into_the_projects_bucket_uncached() -> None:
    found = rendered(entity("siteinfo-{project}", publicAccessPrevention="inherited"))
    resource = found[Id("Object", "siteinfo-mlab-sandbox/v2/sites/machines.json")]
    assert resource.spec["bucket"] == "siteinfo-mlab-sandbox"
    assert resource.spec["name"] == "v2/sites/machines.json"
    assert resource.spec["contentType"] == "application/json"
    assert resource.spec["cacheControl"] == "private, max-age=0, no-transform"
    assert resource.payload is not None and len(json.loads(resource.payload)) == 4
    assert resource.spec["sha256"] == hashlib.sha256(resource.payload).hexdigest()
    assert resource.spec["size"] == len(resource.payload)
    assert resource.deps == {Id("Bucket", "siteinfo-mlab-sandbox")}
    assert resource.span == Span("config/sites/")


def test_an_index_waits_for_every_file_of_its_set() -> None:
    found = rendered(entity("siteinfo-{project}"), entity("operator-{project}"))
    for name in ("siteinfo-{}/v1", "siteinfo-{}/v2", "siteinfo-{}/embargo", "operator-{}/prometheus"):
        folder = name.format("mlab-sandbox")
        index = found[Id("Object", f"{folder}/index.json")]
        files = {
            identity for identity in found if identity.kind == "Object" and identity.name.startswith(f"{folder}/")
        } - {index.id}
        assert files
        assert index.deps == files | {Id("Bucket", folder.partition("/")[0])}


def test_a_plan_of_all_published_files_carries_digests_and_no_content() -> None:
    resources = rendered().values()
    made = plan.make(
        "sandbox/buckets", resources, (), plan.Rules(lambda resource: resource.spec, lambda change: change)
    )
    assert sum(len(resource.payload or b"") for resource in resources) > 50_000
    written = json.dumps([[str(c.id), [[list(f.path), f.before, f.after] for f in c.fields]] for c in made.changes])
    assert len(written) < 1000 * len(made.changes) and "ndt-mlab1" not in written and "ndt-mlab1" not in repr(made)


def test_content_types_are_those_of_the_files() -> None:
    found = {identity.name.rpartition(".")[2]: r.spec["contentType"] for identity, r in rendered().items()}
    assert found == {"json": "application/json", "html": "text/html; charset=utf-8", "zone": "text/dns; charset=utf-8"}


def test_target_files_are_published_only_where_there_is_a_bucket_for_them() -> None:
    def buckets_of(*entities: Entity) -> set[str]:
        return {identity.name.partition("/")[0] for identity in rendered(*entities) if identity.kind == "Object"}

    assert buckets_of() == {"siteinfo-mlab-sandbox"}
    assert buckets_of(entity("operator-{project}")) == {"siteinfo-mlab-sandbox", "operator-mlab-sandbox"}


def test_objects_do_not_wait_for_a_bucket_that_git_does_not_have() -> None:
    found = rendered()
    objects = [resource for identity, resource in found.items() if identity.kind == "Object"]
    assert objects
    assert {dep for resource in objects for dep in resource.deps} <= set(found)
