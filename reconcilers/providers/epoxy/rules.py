"""What a change of a host's boot record means. Pure."""

from __future__ import annotations

from dataclasses import replace

from reconcilers.core.model import RISK_ORDER, Action, Change, Risk

BOOT_FIELDS = frozenset({"IPv4Addr", "Boot", "Update", "ImagesVersion", "Extensions"})
"""What decides whether and what a machine boots: a wrong value is noticed at its next boot only."""


def assess(change: Change) -> Change:
    """A deletion or a retirement is destructive: no boot any more. What changes a boot is disruptive."""
    if change.action is Action.DELETE:
        live = change.observed.spec if change.observed else {}
        reason = "" if live.get("Retired") else "the machine is not retired and could not boot any more"
        return _raised(change, Risk.DESTRUCTIVE, reason)
    if change.action in (Action.CREATE, Action.FORGET):
        return change
    touched = {str(field.path[0]) for field in change.fields if field.path}
    if any(field.path == ("Retired",) and field.after for field in change.fields):
        return _raised(change, Risk.DESTRUCTIVE, "a retired machine gets no boot")
    if touched & BOOT_FIELDS:
        return _raised(change, Risk.DISRUPTIVE, "it takes effect at the machine's next boot")
    return change


def _raised(change: Change, risk: Risk, reason: str) -> Change:
    if RISK_ORDER[risk] > RISK_ORDER[change.risk]:
        risk = change.risk
    return replace(change, risk=risk, reason=change.reason or reason)
