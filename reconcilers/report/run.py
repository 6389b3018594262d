"""A whole run as one value: what every report prints, and what an approval is read back from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconcilers.core import plan as planning
from reconcilers.core.approval import Approval
from reconcilers.core.errors import UsageError
from reconcilers.core.model import Change, Field, Plan

VERSION = 1


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Judged plans of one environment. `base` is the last applied commit, empty where there is no record."""

    run: str
    env: str
    project: str
    commit: str
    base: str
    plans: tuple[Plan, ...]
    warnings: tuple[str, ...] = ()
    base_unreadable: bool = False
    """Whether there may be a record, which cannot be read."""

    @property
    def digest(self) -> str:
        """SHA-256 over all scopes; what `apply --digest` takes."""
        return planning.run_digest(self.plans)


def as_json(made: RunPlan) -> dict[str, Any]:
    """The plan document of `schemas/plan.schema.json`, version 1. Readers ignore keys that they do not know."""
    return {
        "v": VERSION,
        "run": made.run,
        "env": made.env,
        "commit": made.commit,
        "base": made.base or None,
        "digest": made.digest,
        "complete": all(plan.complete for plan in made.plans),
        "counts": planning.counts(made.plans),
        "scopes": [_scope(plan) for plan in made.plans],
        "problems": list(made.warnings),
    }


def _scope(plan: Plan) -> dict[str, Any]:
    return {
        "scope": plan.scope,
        "digest": planning.digest(plan),
        "complete": plan.complete,
        "paused": plan.paused or None,
        "population": dict(plan.population),
        "unchanged": plan.unchanged,
        "refused": list(plan.refused),
        "problems": list(plan.problems),
        "changes": [_change(plan.scope, change) for change in plan.changes],
    }


def _change(scope: str, change: Change) -> dict[str, Any]:
    source: dict[str, Any] = {"file": change.source.file, "line": change.source.line}
    if change.removed_in:
        source["removed_in"] = change.removed_in
    return {
        "action": change.action.value,
        "id": str(change.id),
        "key": planning.change_key(scope, change),
        "risk": change.risk.value,
        "cause": change.cause.value,
        "reason": change.reason,
        "source": source,
        "fields": [_field(found) for found in change.fields],
        "blocked": change.blocked,
        "ack": change.ack,
    }


def _field(found: Field) -> dict[str, Any]:
    return {"path": list(found.path), "before": found.before, "after": found.after, "sensitive": found.sensitive}


def read_approval(path: Path, env: str) -> Approval:
    """The approval that a plan file is. Raises `UsageError` for a file that is none, or of another environment."""
    try:
        document: Mapping[str, Any] = json.loads(path.read_text())
        entries = document.get("environments", [document])
        chosen = next((entry for entry in entries if entry["env"] == env), None)
        if chosen is None:
            raise UsageError(f"{path}: it is not a plan of {env}; make one with `mlab plan --env {env} --out {path}`")
        if chosen["v"] != VERSION:
            raise UsageError(f"{path}: plan version {chosen['v']} is not {VERSION}; make the plan with this program")
        return {scope["scope"]: frozenset(c["key"] for c in scope["changes"]) for scope in chosen["scopes"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not a plan: {error}; make one with `mlab plan --env {env} --out {path}`") from error
