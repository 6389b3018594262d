"""Bucket policies: read and replaced as a whole, guarded by an etag, with conditions in version 3.

Members are not checked against callers (see `app`), with one exception: reads without credentials on the public
path need a grant to allUsers, and public-access prevention forbids such grants.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from services.local.objectstore import buckets, errors, preconditions, store
from services.local.objectstore.call import Call, answer, sub_document

PUBLIC = ("allUsers", "allAuthenticatedUsers")
READERS = (
    "roles/storage.objectViewer",
    "roles/storage.legacyObjectReader",
    "roles/storage.objectAdmin",
    "roles/storage.objectUser",
    "roles/storage.admin",
)


def _etag(version: int) -> str:
    return base64.b64encode(f"p{version:08d}".encode()).decode()


def _resource(bucket: str, policy: Mapping[str, Any], version: int) -> dict[str, Any]:
    return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{bucket}", **policy, "etag": _etag(version)}


def _without_conditions(policy: Mapping[str, Any]) -> dict[str, Any]:
    """What a client that does not know conditions is shown: the binding under a name it cannot mistake."""
    shown = []
    for binding in policy["bindings"]:
        if "condition" in binding:
            mark = zlib.crc32(json.dumps(binding["condition"], sort_keys=True).encode())
            binding = {"role": f"{binding['role']}_withcond_{mark:08x}", "members": binding["members"]}
        shown.append(binding)
    return {"version": 1, "bindings": shown}


async def get(call: Call) -> Response:
    name = call.path["bucket"]
    requested = preconditions.number(call.query, "optionsRequestedPolicyVersion") or 1
    if requested not in (1, 2, 3):
        raise errors.invalid(f"Invalid policy version: {requested}", "optionsRequestedPolicyVersion")
    row = call.state.reader.execute("SELECT policy, policy_version FROM buckets WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise errors.no_bucket(name)
    policy = json.loads(row[0])
    return answer(_resource(name, policy if requested == 3 else _without_conditions(policy), row[1]))


def _validated(body: Mapping[str, Any]) -> dict[str, Any]:
    bindings = body.get("bindings", [])
    if not isinstance(bindings, list):
        raise errors.invalid("Invalid argument: bindings must be a list")
    kept = []
    for binding in bindings:
        role = binding.get("role") if isinstance(binding, dict) else None
        if not isinstance(role, str) or not role.startswith(("roles/", "projects/", "organizations/")):
            raise errors.invalid(f"Role {str(role)[:80]!r} is not supported for this resource.")
        members = binding.get("members", [])
        if not isinstance(members, list) or not all(isinstance(member, str) and member for member in members):
            raise errors.invalid("Invalid argument: members must be a list of strings")
        for member in members:
            if ":" not in member and member not in PUBLIC:
                raise errors.invalid(f"Invalid argument: member {member[:80]!r}")
        if not members:
            continue
        entry: dict[str, Any] = {"role": role, "members": sorted(set(members))}
        if condition := sub_document(binding, "condition"):
            if not condition.get("expression") or not condition.get("title"):
                raise errors.invalid("Invalid argument: a condition needs a title and an expression")
            entry["condition"] = condition
        kept.append(entry)
    conditional = any("condition" in binding for binding in kept)
    if conditional and body.get("version") != 3:
        raise errors.invalid("A policy with conditions must have version 3.")
    return {"version": 3 if conditional else 1, "bindings": kept}


async def set_(call: Call) -> Response:
    name, body = call.path["bucket"], await call.document()
    policy = _validated(body)
    members = {member for binding in policy["bindings"] for member in binding["members"]}

    def work(transaction: store.Transaction) -> int:
        bucket = buckets.find(transaction.connection, name)
        former, version = transaction.execute(
            "SELECT policy, policy_version FROM buckets WHERE name = ?", name
        ).fetchone()
        if body.get("etag") and body["etag"] != _etag(version):
            raise errors.condition_not_met()
        if body.get("etag") and json.loads(former)["version"] == 3 and body.get("version") != 3:
            raise errors.invalid("The policy has conditions: read it and write it with version 3, or they are lost.")
        if bucket.public_access_prevented and members & set(PUBLIC):
            message = (
                "The member bindings allUsers and allAuthenticatedUsers are not allowed "
                "since public access prevention is enforced."
            )
            raise errors.ApiError(412, "conditionNotMet", message, location="If-Match")
        if policy["version"] == 3 and not bucket.doc["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]:
            raise errors.invalid("Conditions need uniform bucket-level access.")
        transaction.execute(
            "UPDATE buckets SET policy = ?, policy_version = ?, metageneration = metageneration + 1 WHERE name = ?",
            json.dumps(policy),
            version + 1,
            name,
        )
        return int(version) + 1

    return answer(_resource(name, policy, await call.state.write(work)))


async def test_permissions(call: Call) -> Response:
    """Everybody may do everything here: all asked permissions are granted."""
    buckets.find(call.state.reader, call.path["bucket"])
    asked = call.request.query_params.getlist("permissions")
    return answer({"kind": "storage#testIamPermissionsResponse", "permissions": asked})


def publicly_readable(call: Call, name: str) -> bool:
    """Whether objects of the bucket may be read without credentials."""
    bucket = buckets.find(call.state.reader, name)
    if bucket.public_access_prevented:
        return False
    row = call.state.reader.execute("SELECT policy FROM buckets WHERE name = ?", (name,)).fetchone()
    return any(
        binding["role"] in READERS and "allUsers" in binding["members"] and "condition" not in binding
        for binding in json.loads(row[0])["bindings"]
    )
