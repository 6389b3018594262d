"""An apply as JSON Lines on stdout, one event a line as it happens, for programs that follow it.

Every line has `v`, `ts`, `run`, `kind` and `scope` (empty for the run as a whole). Kinds: `start`, `diagnostic`,
`scope_planned`, `change_planned`, `change_started`, `change_finished`, `health_wait`, `retry`, `scope_finished`,
`summary`. Readers ignore kinds and keys that they do not know.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TextIO

from reconcilers.core import plan as planning
from reconcilers.core.engine import ScopeResult
from reconcilers.core.events import Event, Listener
from reconcilers.report.run import RunPlan, as_json

VERSION = 1


class Stream:
    """Writes events of one run; scopes run in threads, lines stay whole."""

    def __init__(self, run: str, out: TextIO) -> None:
        self._run, self._out = run, out
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write one event."""
        stamped = {
            "v": VERSION,
            "ts": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "run": self._run,
            "kind": event.kind,
            "scope": event.scope,
            **event.data,
        }
        with self._lock:
            self._out.write(json.dumps(stamped, ensure_ascii=False) + "\n")
            self._out.flush()


def planned(made: RunPlan, actor: str, say: Callable[[Event], None]) -> None:
    """The events of a finished plan."""
    document = as_json(made)
    start = {"env": made.env, "project": made.project, "commit": made.commit, "base": made.base, "actor": actor}
    say(Event("start", "", start))
    for warning in made.warnings:
        say(Event("diagnostic", "", {"severity": "warning", "message": warning}))
    for scope, plan in zip(document["scopes"], made.plans, strict=True):
        changes = scope.pop("changes")
        say(Event("scope_planned", plan.scope, {**scope, "counts": planning.counts([plan])}))
        for change in changes:
            say(Event("change_planned", plan.scope, change))


def summary(made: RunPlan, results: Sequence[ScopeResult], status: int) -> Event:
    """The last event: how each scope ended, and the exit status of this environment."""
    scopes = [
        {
            "scope": result.scope,
            "failed": result.failed,
            "error": result.error,
            "refused": result.refused,
            "not_converged": result.not_converged,
            "outcomes": [
                {
                    "id": str(o.change.id),
                    "action": o.change.action.value,
                    "result": o.result.value,
                    "error": o.error,
                    "tries": o.tries,
                    "ms": o.ms,
                }
                for o in result.outcomes
            ],
        }
        for result in results
    ]
    return Event("summary", "", {"env": made.env, "status": status, "digest": made.digest, "scopes": scopes})


def both(one: Listener, other: Listener) -> Listener:
    """A listener that tells two."""

    def tell(event: Event) -> None:
        one(event)
        other(event)

    return tell
