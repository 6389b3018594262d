"""What a change of a bucket means: risks, and what the service will never do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconcilers.core.model import RISK_ORDER, Action, Change, Risk

PUBLIC = ("allUsers", "allAuthenticatedUsers")


def assess(change: Change) -> Change:
    """Block the impossible, and raise the risk of what loses or exposes data."""
    if change.action is Action.DELETE:
        if change.id.kind == "Bucket" and change.observed is not None and change.blocked is None:
            return replace(change, risk=Risk.IRREVERSIBLE)
        risk = Risk.DISRUPTIVE if change.id.kind == "BucketIam" else Risk.DESTRUCTIVE
        return replace(change, risk=risk)
    if change.id.kind == "BucketIam":
        return _raise(change, Risk.DISRUPTIVE) if change.action is Action.UPDATE else change
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
    return change


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
