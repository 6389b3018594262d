"""What a change of a monitoring file means. Pure."""

from __future__ import annotations

import json
from dataclasses import replace

from reconcilers.core.model import Action, Change, Risk

TARGETS = "prometheus/targets/"
MAX_TARGET_LOSS = 0.10


def assess(change: Change) -> Change:
    """A target file that loses more than a tenth of its targets is a destructive change."""
    if change.action is not Action.UPDATE or not change.id.name.startswith(TARGETS):
        return change
    assert change.desired is not None and change.observed is not None
    before, after = (_targets(side.spec["content"]) for side in (change.observed, change.desired))
    lost = len(before - after)
    if lost <= MAX_TARGET_LOSS * len(before):
        return change
    reason = f"{lost} of {len(before)} targets go, more than {MAX_TARGET_LOSS:.0%}: their alerts fall silent"
    return replace(change, risk=Risk.DESTRUCTIVE, reason=f"{change.reason}; {reason}" if change.reason else reason)


def _targets(content: str) -> frozenset[str]:
    """Every target of a target file, with the labels that make it another one; empty if it is no target file."""
    try:
        groups = json.loads(content)
        return frozenset(
            f"{target} {json.dumps(group.get('labels'), sort_keys=True)}"
            for group in groups
            for target in group["targets"]
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return frozenset()
