"""Buckets of the environment's project, who may use them, and the files that are published in some of them.

A bucket's file is a template: `{project}` in its name and members is filled in for each project that has one. The
spec is in the object store's own terms (Cloud Storage JSON API), every owned field always present, so that what a
person switched on by hand is seen as drift. Readers of published files revalidate each time (`max-age=0`), and each
set's index depends on all of its files, hence is written last. A file's content is the resource's payload: ten
megabytes have no place in a plan, which compares and shows digests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import structs

from reconcilers.core.model import Id, Resource, Span
from reconcilers.fleet import published
from reconcilers.fleet.model import Entity, Environment, Fleet
from reconcilers.render import boot_images

BUCKET, IAM, OBJECT = "Bucket", "BucketIam", boot_images.OBJECT


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
    found.extend(boot_images.resources(fleet, environment, buckets))
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
    for file_set in published.sets(fleet, environment):
        bucket = published.fill(file_set.bucket, environment.project)
        home = frozenset({Id(BUCKET, bucket)}) & buckets
        if not home and file_set.bucket != published.SITEINFO:
            continue  # nobody has asked for these: our own monitoring does without them
        span = Span(file_set.source)
        files = [_object(bucket, file, span, home) for file in file_set.files]
        yield from files
        parts = frozenset(resource.id for resource in files)
        yield structs.replace(_object(bucket, file_set.index, span, home | parts), exact=True)


def _object(bucket: str, file: published.File, span: Span, deps: frozenset[Id]) -> Resource:
    spec: dict[str, Any] = {
        "bucket": bucket,
        "name": file.path,
        "contentType": file.content_type,
        "cacheControl": boot_images.CACHE_CONTROL,
        "sha256": file.sha256,
        "size": len(file.data),
    }
    if file.path == published.EMBARGO:
        spec["rules"] = published.embargo_by_name(file.data)
    return Resource(Id(OBJECT, f"{bucket}/{file.path}"), spec, span, deps=deps, payload=file.data)
