"""Buckets: their resource, its validation, and the calls on it.

A patch is a JSON merge patch (RFC 7396) on the writable fields; an update replaces them. Each accepted change raises
the metageneration. A retention policy, once locked, only grows.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from services.local.objectstore import bucket_rules, errors, preconditions, store
from services.local.objectstore.call import Call, answer, empty

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
IMMUTABLE = ("location", "hierarchicalNamespace")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A row: `doc` holds the fields of the resource that are not derived."""

    name: str
    project: str
    metageneration: int
    doc: Mapping[str, Any]

    @property
    def versioned(self) -> bool:
        return bool(self.doc.get("versioning", {}).get("enabled"))

    @property
    def public_access_prevented(self) -> bool:
        return bool(self.doc["iamConfiguration"]["publicAccessPrevention"] == "enforced")

    @property
    def retention_s(self) -> int:
        return int(self.doc.get("retentionPolicy", {}).get("retentionPeriod", 0))


def find(connection: sqlite3.Connection, name: str) -> Bucket:
    """The bucket of that name, or 404."""
    row = connection.execute(
        "SELECT name, project, metageneration, doc FROM buckets WHERE name = ?", (name,)
    ).fetchone()
    if row is None:
        raise errors.no_bucket(name)
    return Bucket(row[0], row[1], row[2], json.loads(row[3]))


def etag(metageneration: int) -> str:
    return base64.b64encode(f"m{metageneration}".encode()).decode()


def resource(base: str, bucket: Bucket) -> dict[str, Any]:
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{base}/storage/v1/b/{bucket.name}",
        "name": bucket.name,
        "projectNumber": str(zlib.crc32(bucket.project.encode())),
        "metageneration": str(bucket.metageneration),
        "etag": etag(bucket.metageneration),
        **bucket.doc,
    }


def merge(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """JSON merge patch."""
    merged = dict(target)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            before = merged.get(key)
            merged[key] = merge(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged


async def insert(call: Call) -> Response:
    body = await call.document()
    name, project = body.get("name"), call.query.get("project", "")
    if (
        not isinstance(name, str)
        or not NAME.fullmatch(name)
        or len(name) < 3
        or ".." in name
        or name.startswith("goog")
    ):
        raise errors.invalid(f"Invalid bucket name: {str(name)[:80]!r}")
    if not project:
        raise errors.ApiError(400, "required", "Required parameter: project", location="project")
    now = store.timestamp()
    known = (*bucket_rules.WRITABLE, *IMMUTABLE)
    given = {key: value for key, value in body.items() if key in known and value is not None}
    doc = bucket_rules.complete({"location": str(given.get("location") or "US").upper(), **given}, None, now)
    doc |= {"location": str(doc["location"]).upper(), "timeCreated": now, "updated": now}
    doc["locationType"] = "multi-region" if doc["location"] in ("US", "EU", "ASIA") else "region"

    def work(transaction: store.Transaction) -> Bucket:
        if transaction.execute("SELECT 1 FROM buckets WHERE name = ?", name).fetchone():
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise errors.ApiError(409, "conflict", message)
        policy = json.dumps(bucket_rules.initial_policy(project))
        transaction.execute("INSERT INTO buckets VALUES (?, ?, 1, ?, ?, 1)", name, project, json.dumps(doc), policy)
        return Bucket(name, project, 1, doc)

    return answer(resource(call.server.base, await call.state.write(work)))


async def get(call: Call) -> Response:
    bucket = find(call.state.reader, call.path["bucket"])
    preconditions.parse(call.query).check_read(0, bucket.metageneration)
    return answer(resource(call.server.base, bucket))


async def list_(call: Call) -> Response:
    project, prefix = call.query.get("project", ""), call.query.get("prefix", "")
    if not project:
        raise errors.ApiError(400, "required", "Required parameter: project", location="project")
    limit = min(preconditions.number(call.query, "maxResults") or 1000, 1000)
    rows = call.state.reader.execute(
        "SELECT name, project, metageneration, doc FROM buckets WHERE project = ? AND name > ? ORDER BY name",
        (project, call.query.get("pageToken", "")),
    )
    found = [Bucket(row[0], row[1], row[2], json.loads(row[3])) for row in rows if row[0].startswith(prefix)]
    page: dict[str, Any] = {"kind": "storage#buckets"}
    if found:
        page["items"] = [resource(call.server.base, bucket) for bucket in found[:limit]]
    if len(found) > limit:
        page["nextPageToken"] = found[limit - 1].name
    return answer(page)


async def _change(call: Call, body: Mapping[str, Any], *, replace: bool) -> Response:
    conditions, now = preconditions.parse(call.query), store.timestamp()

    def work(transaction: store.Transaction) -> Bucket:
        bucket = find(transaction.connection, call.path["bucket"])
        conditions.check_write(0, bucket.metageneration)
        for key in IMMUTABLE:
            if key in body and str(body[key]).upper() != str(bucket.doc.get(key)).upper():
                raise errors.invalid(f"The {key} of a bucket cannot be changed", key)
        given = {key: value for key, value in body.items() if key in bucket_rules.WRITABLE}
        fixed = {key: value for key, value in bucket.doc.items() if key not in bucket_rules.WRITABLE}
        wanted = {**fixed, **{k: v for k, v in given.items() if v is not None}} if replace else merge(bucket.doc, given)
        doc = bucket_rules.complete(wanted, bucket.doc, now) | {"updated": now}
        return save(transaction, bucket, doc)

    return answer(resource(call.server.base, await call.state.write(work)))


def save(transaction: store.Transaction, bucket: Bucket, doc: Mapping[str, Any]) -> Bucket:
    changed = Bucket(bucket.name, bucket.project, bucket.metageneration + 1, doc)
    transaction.execute(
        "UPDATE buckets SET doc = ?, metageneration = ? WHERE name = ?",
        json.dumps(doc),
        changed.metageneration,
        bucket.name,
    )
    return changed


async def patch(call: Call) -> Response:
    return await _change(call, await call.document(), replace=False)


async def update(call: Call) -> Response:
    return await _change(call, await call.document(), replace=True)


async def delete(call: Call) -> Response:
    conditions, name = preconditions.parse(call.query), call.path["bucket"]

    def work(transaction: store.Transaction) -> None:
        bucket = find(transaction.connection, name)
        conditions.check_write(0, bucket.metageneration)
        if transaction.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", name).fetchone():
            raise errors.ApiError(409, "conflict", "The bucket you tried to delete is not empty.")
        transaction.execute("DELETE FROM buckets WHERE name = ?", name)

    await call.state.write(work)
    return empty()


async def lock_retention_policy(call: Call) -> Response:
    conditions = preconditions.parse(call.query)
    if conditions.metageneration_match is None:
        parameter = "ifMetagenerationMatch"
        raise errors.ApiError(400, "required", f"Required parameter: {parameter}", location=parameter)

    def work(transaction: store.Transaction) -> Bucket:
        bucket = find(transaction.connection, call.path["bucket"])
        conditions.check_write(0, bucket.metageneration)
        policy = bucket.doc.get("retentionPolicy")
        if policy is None:
            raise errors.invalid("The bucket has no retention policy to lock.")
        return save(transaction, bucket, {**bucket.doc, "retentionPolicy": {**policy, "isLocked": True}})

    return answer(resource(call.server.base, await call.state.write(work)))
