"""What a change of a bucket means: risks, and what the service will never do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconcilers.core.model import RISK_ORDER, Action, Change, Risk

EMPTY_ONLY = "only an empty bucket is deleted; put its file back, or empty it by hand and plan again"
PUBLIC = ("allUsers", "allAuthenticatedUsers")


def assess(change: Change) -> Change:
    """Block the impossible, and raise the risk of what loses or exposes data."""
    if change.action is Action.DELETE:
        if change.id.kind == "Bucket" and change.observed is not None and change.blocked is None:
            if change.observed.note:
                change = _impossible(change, f"{change.observed.note}: {EMPTY_ONLY}")
            return replace(change, risk=Risk.IRREVERSIBLE)
        risk = Risk.DISRUPTIVE if change.id.kind == "BucketIam" else Risk.DESTRUCTIVE
        return _embargo(replace(change, risk=risk))
    if change.id.kind == "BucketIam":
        return _grants(change)
    if change.id.kind == "Object":
        return _release(_embargo(change))
    if change.id.kind != "Bucket" or change.observed is None or change.desired is None:
        return change
    before, after = change.observed.spec, change.desired.spec
    if before.get("location") != after.get("location"):
        where = f"{before.get('location')}, not {after.get('location')}"
        return _impossible(
            change, f"a bucket's location cannot change: it is {where}; make a new bucket and move the data"
        )
    change = _retention(change, before.get("retentionPolicy") or {}, after.get("retentionPolicy") or {})
    if _deletes_more(_rules(before), _rules(after)):
        change = _raise(change, Risk.DESTRUCTIVE)
    return _raise(change, Risk.DISRUPTIVE) if _less_safe(before, after) else change


def _less_safe(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """True if a mistake could be undone before and cannot now, or if the bucket may be made public from now on."""
    versions = [bool(spec.get("versioning", {}).get("enabled")) for spec in (before, after)]
    soft_s = [int((spec.get("softDeletePolicy") or {}).get("retentionDurationSeconds", 0)) for spec in (before, after)]
    closed = [spec.get("iamConfiguration", {}).get("publicAccessPrevention") == "enforced" for spec in (before, after)]
    return versions == [True, False] or soft_s[1] < soft_s[0] or closed == [True, False]


def _grants(change: Change) -> Change:
    """Making a bucket public that was not counts as a deletion: what was read cannot be made unread."""
    before = {b["member"] for b in change.observed.spec["bindings"]} if change.observed else set()
    after = {b["member"] for b in change.desired.spec["bindings"]} if change.desired else set()
    opened = sorted((after - before) & set(PUBLIC))
    if opened:
        risk = Risk.DISRUPTIVE if change.action is Action.CREATE else Risk.DESTRUCTIVE
        return replace(_raise(change, risk), reason=f"{' and '.join(opened)} may use the bucket from then on")
    return _raise(change, Risk.DISRUPTIVE) if change.action is Action.UPDATE else change


def _embargo(change: Change) -> Change:
    """Data that is public once stays public: an embargo that holds back less wants its exact name."""
    if change.observed is None or "rules" not in change.observed.spec or change.blocked is not None:
        return change
    loosened = sorted(_loosened(_active(change.observed.spec), _active(change.desired.spec if change.desired else {})))
    if not loosened:
        return change
    reason = f"data under {', '.join(loosened)} becomes public, now or sooner"
    return replace(change, risk=Risk.IRREVERSIBLE, reason=reason)


def _release(change: Change) -> Change:
    """What a release holds is never changed by a good run: a machine that boots it now has pinned what it was."""
    if change.observed is None or change.desired is None or change.desired.content is None:
        return change
    if change.observed.spec.get("sha256") == change.desired.spec["sha256"]:
        return change
    reason = "a release is changed under its name; machines that boot it now are refused"
    return replace(_raise(change, Risk.DISRUPTIVE), reason=change.reason or reason)


def _active(spec: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    return {name: rule for name, rule in spec.get("rules", {}).items() if rule.get("state") == "active"}


def _loosened(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, old in before.items():
        new = after.get(name)
        if new is None or not set(old["datatypes"]) <= set(new["datatypes"]) or _days(new) < _days(old):
            yield name
        elif any(old.get(key) != new.get(key) for key in ("match", "exempt", "buckets")):
            yield name  # whether another selection holds back less cannot be told from its words


def _days(rule: Mapping[str, Any]) -> int:
    return int(str(rule["period"]).removesuffix("d"))


def _retention(change: Change, before: Mapping[str, Any], after: Mapping[str, Any]) -> Change:
    old, new = int(before.get("retentionPeriod", 0)), int(after.get("retentionPeriod", 0))
    if before.get("isLocked") and (new < old or not after.get("isLocked")):
        return _impossible(change, f"its retention is locked at {old} s: it can only be raised")
    if after.get("isLocked") and not before.get("isLocked"):
        return _raise(change, Risk.IRREVERSIBLE)
    if new < old:
        return _raise(change, Risk.DESTRUCTIVE)
    return _raise(change, Risk.DISRUPTIVE) if new > old else change


def _rules(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    rules: Sequence[Mapping[str, Any]] = spec.get("lifecycle", {}).get("rule", ())
    return rules


def _deletes_more(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> bool:
    """True for a Delete rule that was not there, or one whose age got lower."""
    known = [rule["condition"] for rule in before if rule["action"]["type"] == "Delete"]
    for rule in after:
        if rule["action"]["type"] != "Delete" or rule["condition"] in known:
            continue
        rest = {k: v for k, v in rule["condition"].items() if k != "age"}
        same = [c for c in known if {k: v for k, v in c.items() if k != "age"} == rest]
        if not any(c.get("age", 0) <= rule["condition"].get("age", 0) for c in same):
            return True
    return False


def _raise(change: Change, risk: Risk) -> Change:
    return replace(change, risk=risk) if RISK_ORDER[risk] < RISK_ORDER[change.risk] else change


def _impossible(change: Change, why: str) -> Change:
    return replace(change, blocked=why, impossible=True, risk=Risk.DESTRUCTIVE)
