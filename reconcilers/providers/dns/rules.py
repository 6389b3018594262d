"""What a change of a record set means: another time to live is safe, another value is noticed by clients.

A delegation that leads elsewhere takes a whole zone with it: that counts as a deletion.
"""

from __future__ import annotations

from dataclasses import replace

from reconcilers.core.model import Action, Change, Risk


def assess(change: Change) -> Change:
    """Raise the risk of an update."""
    if change.action is Action.UPDATE and any(field.path[0] == "rrdatas" for field in change.fields):
        return replace(change, risk=Risk.DESTRUCTIVE if change.id.kind == "NS" else Risk.DISRUPTIVE)
    return change
