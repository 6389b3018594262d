"""A live bucket as the file that would ask for it: for one that somebody made by hand and that git shall hold. Pure.

The reverse of `render.buckets`. What is the service's default is left out; what only a person knows (the purpose) is
asked for in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from reconcilers.providers.buckets.form import SOFT_DELETE_S, Grant

PURPOSE = "Say who writes it, who reads it and how long things stay. Found live, made by somebody else."
_OF_THE_SERVICE = "roles/storage.legacy"
"""Grants that the service makes by itself with every bucket."""


def stem(name: str, project: str) -> str:
    """The file's name: the bucket's without the project."""
    return name.replace(project, "").strip("-") or name


def data(name: str, spec: Mapping[str, Any], grants: Collection[Grant], project: str) -> dict[str, Any]:
    """The file's value, of a bucket in the one form (`buckets_form.complete`)."""
    access, retention = spec["iamConfiguration"], spec["retentionPolicy"]
    made: dict[str, Any] = {
        "kind": "Bucket",
        "name": name.replace(project, "{project}"),
        "purpose": PURPOSE,
        "projects": [project],
        "location": spec["location"],
        "storageClass": spec.get("storageClass", "STANDARD"),
        "versioning": spec["versioning"]["enabled"],
        "lifecycle": spec["lifecycle"]["rule"],
        "retention": None,
        "softDelete_s": int(spec["softDeletePolicy"]["retentionDurationSeconds"]),
        "uniformBucketLevelAccess": access["uniformBucketLevelAccess"]["enabled"],
        "publicAccessPrevention": access["publicAccessPrevention"],
        "labels": spec["labels"],
        "cors": spec["cors"],
        "iam": [],
        "adopt": True,
    }
    if retention:
        made["retention"] = {"period_s": int(retention["retentionPeriod"]), "locked": retention["isLocked"]}
    members: dict[str, list[str]] = {}
    for role, member in sorted(grants):
        if not role.startswith(_OF_THE_SERVICE):
            members.setdefault(role, []).append(member.replace(project, "{project}"))
    made["iam"] = [{"role": role, "members": who} for role, who in members.items()]
    usual: dict[str, Any] = {
        "lifecycle": [],
        "retention": None,
        "softDelete_s": SOFT_DELETE_S,
        "labels": {},
        "cors": [],
    }
    return {key: value for key, value in made.items() if key not in usual or value != usual[key]}
