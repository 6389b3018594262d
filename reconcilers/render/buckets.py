"""Buckets of the environment's project, who may use them, and the files that are published in one of them.

A bucket's file is a template: `{project}` in its name and members is filled in for each project that has one. The
spec is in the object store's own terms (Cloud Storage JSON API), every owned field always present, so that what a
person switched on by hand is seen as drift. The published files go into `siteinfo-{project}`: readers revalidate
each time (`max-age=0`), and each set's index depends on all of its files, hence is written last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconcilers.core.model import Id, Resource, Span
from reconcilers.fleet import published
from reconcilers.fleet.model import Entity, Environment, Fleet

BUCKET, IAM, OBJECT = "Bucket", "BucketIam", "Object"
PUBLISHED = "siteinfo-{project}"
CACHE_CONTROL = "private, max-age=0, no-transform"
_SOURCES = {"v2": "config/sites/", "embargo": "config/embargo/"}
"""The folder that a set is made of, as the place that a plan names."""


def resources(fleet: Fleet, environment: Environment) -> tuple[Resource, ...]:
    """The buckets, permissions and published objects of one environment, by id."""
    project = environment.project
    found: list[Resource] = []
    for entity in fleet.buckets.values():
        if project in entity.data.get("projects", (project,)):
            found.append(_bucket(entity, project))
            found.append(_iam(entity, project, found[-1].id))
    buckets = frozenset(resource.id for resource in found if resource.id.kind == BUCKET)
    found.extend(_objects(fleet, environment, buckets))
    return tuple(sorted(found, key=lambda resource: resource.id))


def _bucket(entity: Entity, project: str) -> Resource:
    data = entity.data
    name = published.fill(entity.name, project)
    spec: dict[str, Any] = {
        "location": data["location"],
        "storageClass": data.get("storageClass", "STANDARD"),
        "versioning": {"enabled": bool(data.get("versioning", False))},
        "lifecycle": {"rule": [dict(rule) for rule in data.get("lifecycle", ())]},
        "retentionPolicy": _retention(data.get("retention")),
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": bool(data.get("uniformBucketLevelAccess", True))},
            "publicAccessPrevention": data["publicAccessPrevention"],
        },
        "labels": dict(data.get("labels", {})),
        "cors": [dict(rule) for rule in data.get("cors", ())],
    }
    if "softDelete_s" in data:
        spec["softDeletePolicy"] = {"retentionDurationSeconds": str(data["softDelete_s"])}
    return Resource(
        Id(BUCKET, name),
        spec,
        entity.span,
        protect=bool(data.get("protect", True)),
        adopt=bool(data.get("adopt", False)),
    )


def _retention(wanted: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The policy with its period as the API writes 64-bit numbers: as text."""
    if wanted is None:
        return None
    return {"retentionPeriod": str(wanted["period_s"]), "isLocked": bool(wanted.get("locked", False))}


def _iam(entity: Entity, project: str, bucket: Id) -> Resource:
    """The grants that are ours, one role and member each, sorted; others on the live bucket are left alone."""
    grants = {
        (published.fill(entry["role"], project), published.fill(member, project))
        for entry in entity.data.get("iam", ())
        for member in entry["members"]
    }
    bindings = [{"role": role, "member": member} for role, member in sorted(grants)]
    span = entity.spans.get("iam", entity.span)
    return Resource(Id(IAM, bucket.name), {"bindings": bindings}, span, deps=frozenset({bucket}))


def _objects(fleet: Fleet, environment: Environment, buckets: frozenset[Id]) -> Iterator[Resource]:
    bucket = published.fill(PUBLISHED, environment.project)
    home = frozenset({Id(BUCKET, bucket)}) & buckets
    for file_set in published.sets(fleet, environment):
        span = Span(_SOURCES[file_set.name])
        files = [_object(bucket, path, content, span, home) for path, content in file_set.files.items()]
        yield from files
        parts = frozenset(resource.id for resource in files)
        yield _object(bucket, file_set.index_path, file_set.index, span, home | parts)


def _object(bucket: str, path: str, content: str, span: Span, deps: frozenset[Id]) -> Resource:
    spec = {
        "bucket": bucket,
        "name": path,
        "contentType": "application/json",
        "cacheControl": CACHE_CONTROL,
        "content": content,
    }
    return Resource(Id(OBJECT, f"{bucket}/{path}"), spec, span, deps=deps)
