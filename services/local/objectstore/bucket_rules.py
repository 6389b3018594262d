"""What a bucket's document must look like: defaults, forms and the rules that the service enforces.

Pure. `complete` turns what a client sent into what the service would return, or raises the error it would give.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from services.local.objectstore import errors
from services.local.objectstore.call import sub_document

WRITABLE = (
    "autoclass",
    "billing",
    "cors",
    "defaultEventBasedHold",
    "encryption",
    "iamConfiguration",
    "labels",
    "lifecycle",
    "logging",
    "retentionPolicy",
    "rpo",
    "softDeletePolicy",
    "storageClass",
    "versioning",
    "website",
)
STORAGE_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL")
LABEL_KEY = re.compile(r"[a-z][\w-]{0,62}")
LABEL_VALUE = re.compile(r"[\w-]{0,63}")
MAX_LABELS = 64
MAX_RETENTION_S = 3_155_760_000
SOFT_DELETE_S = "604800"
"""The service's default: deleted objects can be restored for a week."""
ACTIONS = ("Delete", "SetStorageClass", "AbortIncompleteMultipartUpload")


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _date(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", value) is not None


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text for text in value)


CONDITIONS: Mapping[str, Callable[[object], bool]] = {
    "age": _count,
    "createdBefore": _date,
    "customTimeBefore": _date,
    "daysSinceCustomTime": _count,
    "daysSinceNoncurrentTime": _count,
    "isLive": lambda value: isinstance(value, bool),
    "matchesPrefix": _texts,
    "matchesStorageClass": _texts,
    "matchesSuffix": _texts,
    "noncurrentTimeBefore": _date,
    "numNewerVersions": _count,
}
"""Parts of a lifecycle condition, and what each may be."""


def complete(doc: Mapping[str, Any], before: Mapping[str, Any] | None, now: str) -> dict[str, Any]:
    done = dict(doc)
    done["storageClass"] = check_storage_class(done.get("storageClass") or "STANDARD")
    if not isinstance(sub_document(done, "versioning").get("enabled", False), bool):
        raise errors.invalid("Invalid value for versioning.enabled: not a boolean", "versioning")
    done["iamConfiguration"] = _iam_configuration(sub_document(done, "iamConfiguration"), now)
    _labels(sub_document(done, "labels"))
    _lifecycle(sub_document(done, "lifecycle"))
    cors = done.get("cors", [])
    if not isinstance(cors, list) or not all(isinstance(rule, dict) for rule in cors):
        raise errors.invalid("Invalid argument: cors must be a list of objects")
    for key in ("labels", "lifecycle", "cors"):
        if not done.get(key) or done.get(key) == {"rule": []}:
            done.pop(key, None)
    soft = sub_document(done, "softDeletePolicy")
    done["softDeletePolicy"] = {
        "effectiveTime": soft.get("effectiveTime") or now,
        "retentionDurationSeconds": str(soft.get("retentionDurationSeconds", SOFT_DELETE_S)),
    }
    retention = _retention(sub_document(done, "retentionPolicy"), (before or {}).get("retentionPolicy") or {}, now)
    done.pop("retentionPolicy", None)
    if retention:
        done["retentionPolicy"] = retention
    return done


def check_storage_class(given: object) -> str:
    """A storage class that exists, or 400."""
    if not isinstance(given, str) or given not in STORAGE_CLASSES:
        raise errors.invalid(f"Invalid storage class: {str(given)[:64]}", "storageClass")
    return given


def initial_policy(project: str) -> dict[str, Any]:
    owners = [f"projectEditor:{project}", f"projectOwner:{project}"]
    return {
        "version": 1,
        "bindings": [
            {"role": "roles/storage.legacyBucketOwner", "members": owners},
            {"role": "roles/storage.legacyBucketReader", "members": [f"projectViewer:{project}"]},
        ],
    }


def _iam_configuration(given: Mapping[str, Any], now: str) -> dict[str, Any]:
    uniform = sub_document(given, "uniformBucketLevelAccess")
    prevention = given.get("publicAccessPrevention") or "inherited"
    if prevention == "unspecified":
        prevention = "inherited"
    if prevention not in ("enforced", "inherited"):
        raise errors.invalid(f"Invalid value for publicAccessPrevention: {str(prevention)[:64]}")
    enabled = uniform.get("enabled", False)
    if not isinstance(enabled, bool):
        raise errors.invalid("Invalid value for uniformBucketLevelAccess.enabled: not a boolean")
    state: dict[str, Any] = {"enabled": enabled}
    if enabled:
        # The service lets one go back for 90 days; the date is informative here.
        state["lockedTime"] = uniform.get("lockedTime") or now
    return {"bucketPolicyOnly": state, "uniformBucketLevelAccess": state, "publicAccessPrevention": prevention}


def _labels(labels: Mapping[str, Any]) -> None:
    if len(labels) > MAX_LABELS:
        raise errors.invalid(f"A bucket may have at most {MAX_LABELS} labels, got {len(labels)}")
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key) or key != key.lower():
            raise errors.invalid(f"Invalid label key: {key[:80]!r}")
        if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value) or value != value.lower():
            raise errors.invalid(f"Invalid value of label {key!r}: {str(value)[:80]!r}")


def _lifecycle(lifecycle: Mapping[str, Any]) -> None:
    rules = lifecycle.get("rule", [])
    if not isinstance(rules, list) or len(rules) > 100:
        raise errors.invalid("Invalid argument: lifecycle.rule must be a list of at most 100 rules")
    for rule in rules:
        action = rule.get("action") if isinstance(rule, dict) else None
        if not isinstance(action, dict) or action.get("type") not in ACTIONS:
            raise errors.invalid("Invalid argument: each lifecycle rule needs an action with a known type")
        if action["type"] == "SetStorageClass":
            check_storage_class(action.get("storageClass"))
        condition = rule.get("condition")
        if not isinstance(condition, dict) or not condition:
            raise errors.invalid("Invalid argument: each lifecycle rule needs a condition")
        for key, value in condition.items():
            if key not in CONDITIONS or not CONDITIONS[key](value):
                raise errors.invalid(f"Invalid argument: lifecycle condition {key[:64]}: {str(value)[:64]!r}")


def _retention(given: Mapping[str, Any], before: Mapping[str, Any], now: str) -> dict[str, Any]:
    locked = bool(before.get("isLocked"))
    old_s = int(before.get("retentionPeriod", 0))
    try:
        period_s = int(given.get("retentionPeriod", 0))
    except (TypeError, ValueError):
        raise errors.invalid("Invalid argument: retentionPeriod must be an integer") from None
    if locked and period_s < old_s:
        message = "Cannot reduce retention duration of a locked Retention Policy for the bucket."
        raise errors.ApiError(403, "forbidden", message)
    if not given:
        return {}
    if not 0 < period_s < MAX_RETENTION_S:
        raise errors.invalid(f"Invalid argument: retentionPeriod must be within 1 and {MAX_RETENTION_S - 1} seconds")
    policy: dict[str, Any] = {"retentionPeriod": str(period_s)}
    policy["effectiveTime"] = before.get("effectiveTime", now) if period_s == old_s else now
    if locked:
        policy["isLocked"] = True
    return policy
