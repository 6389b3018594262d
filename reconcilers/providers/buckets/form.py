"""The one form in which buckets, grants and objects are compared, and the marks that live ones carry. Pure.

A mark names the very thing that it is on: labels and metadata are copied along with a bucket's or an object's content,
and a copy that somebody made is not ours to delete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconcilers.core.model import Id, Observed, Owner

OWNED = (
    "location",
    "storageClass",
    "versioning",
    "lifecycle",
    "retentionPolicy",
    "iamConfiguration",
    "labels",
    "cors",
    "softDeletePolicy",
)
PROTECT = "mlab-protect"
SOFT_DELETE_S = 604800
"""The service's own default: what was deleted can be had back for a week."""
_MARK = "mlab-"
_IN_LABELS = ("owner", "env", "commit", "source", "id")
_IN_METADATA = ("owner", "env", "scope", "source", "commit")

Grant = tuple[str, str]


def bucket(name: str, found: Mapping[str, Any]) -> Observed:
    """A live bucket."""
    labels = dict(found.get("labels", {}))
    mark = None
    if f"{_MARK}owner" in labels and labels.get(f"{_MARK}id") == _identity(name):
        stem = labels.get(f"{_MARK}source", "")
        source = f"config/buckets/{stem}.yaml" if stem else ""
        env, commit = labels.get(f"{_MARK}env", ""), labels.get(f"{_MARK}commit", "")
        mark = Owner(labels[f"{_MARK}owner"], env, "", source, commit)
    marks = {f"{_MARK}{key}" for key in _IN_LABELS}
    spec = {key: found[key] for key in OWNED if key in found}
    spec["labels"] = {key: value for key, value in labels.items() if key not in marks}
    token = str(found["metageneration"])
    return Observed(Id("Bucket", name), complete(spec), mark, protect=PROTECT in labels, token=token)


def bucket_marks(name: str, mark: Owner) -> dict[str, str]:
    """Labels. Their values hold letters, digits, `_` and `-` only, so the source is a stem and the name a digest."""
    stem = mark.source.rpartition("/")[2].removesuffix(".yaml")
    commit = mark.commit.partition("+")[0][:40]
    values = (mark.owner, mark.env, commit, stem, _identity(name))
    return {f"{_MARK}{key}": value for key, value in zip(_IN_LABELS, values, strict=True)}


NO_BUCKET_MARKS = {**{f"{_MARK}{key}": None for key in _IN_LABELS}, PROTECT: None}
NO_OBJECT_MARKS = {f"{_MARK}{key}": None for key in (*_IN_METADATA, "id", "sha256", "crc32c")}
"""What takes all our marks off a bucket and off an object, as a PATCH has it."""


def _identity(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def object_owner(found: Mapping[str, Any]) -> Owner | None:
    """Who manages a live object, by metadata that names this object."""
    data = found.get("metadata", {})
    if f"{_MARK}owner" not in data or data.get(f"{_MARK}id") != found["name"]:
        return None
    return Owner(*(data.get(f"{_MARK}{key}", "") for key in _IN_METADATA))


def object_marks(name: str, digest: str, mark: Owner) -> dict[str, str]:
    """Metadata of a published object."""
    marks = {f"{_MARK}{key}": str(getattr(mark, key)) for key in _IN_METADATA}
    return {**marks, f"{_MARK}id": name, f"{_MARK}sha256": digest}


def complete(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Owned fields of a bucket: defaults filled in, numbers as the API writes them, times of the server left out."""
    access = spec.get("iamConfiguration", {})
    retention = spec.get("retentionPolicy")
    soft_delete_s = (spec.get("softDeletePolicy") or {}).get("retentionDurationSeconds", SOFT_DELETE_S)
    made = {
        **{key: spec[key] for key in ("location", "storageClass") if key in spec},
        "versioning": {"enabled": bool(spec.get("versioning", {}).get("enabled", False))},
        "lifecycle": {"rule": [dict(rule) for rule in (spec.get("lifecycle") or {}).get("rule", ())]},
        "retentionPolicy": None,
        "softDeletePolicy": {"retentionDurationSeconds": str(soft_delete_s)},
        "iamConfiguration": {
            "uniformBucketLevelAccess": {
                "enabled": bool(access.get("uniformBucketLevelAccess", {}).get("enabled", False))
            },
            "publicAccessPrevention": access.get("publicAccessPrevention", "inherited"),
        },
        "labels": dict(spec.get("labels", {})),
        "cors": [dict(rule) for rule in spec.get("cors") or ()],
    }
    if retention:
        period = str(retention["retentionPeriod"])
        made["retentionPolicy"] = {"retentionPeriod": period, "isLocked": bool(retention.get("isLocked", False))}
    return made


def pairs(grants: Iterable[Sequence[str]]) -> set[Grant]:
    """(role, member) each."""
    return {(role, member) for role, member in grants}


def granted(policy: Mapping[str, Any]) -> set[Grant]:
    """What a policy grants without a condition."""
    plain = [binding for binding in policy.get("bindings", ()) if not binding.get("condition")]
    return {(binding["role"], member) for binding in plain for member in binding["members"]}


def with_grants(policy: Mapping[str, Any], *, add: set[Grant], remove: set[Grant]) -> dict[str, Any]:
    """The policy with our grants; bindings with a condition and everybody else's members stay as they are."""
    conditional = [binding for binding in policy.get("bindings", ()) if binding.get("condition")]
    roles: dict[str, set[str]] = {}
    for role, member in (granted(policy) - remove) | add:
        roles.setdefault(role, set()).add(member)
    plain = [{"role": role, "members": sorted(members)} for role, members in sorted(roles.items())]
    return {**policy, "version": 3, "bindings": [*plain, *conditional]}
