"""`mlab status`: what each environment runs, by its own record, and what waits to be written there."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from reconcilers.cli import planning, recorded
from reconcilers.cli.exits import Exit, worst
from reconcilers.cli.session import open_session
from reconcilers.load.history import open_history
from reconcilers.providers import pauses
from reconcilers.report import record


def run(given: argparse.Namespace) -> int:
    """Print the record of each chosen environment."""
    session = open_session(given, live=True)
    history = open_history(session.root)
    head = history.head().sha if history else planning.UNVERSIONED
    found: list[dict[str, Any]] = []
    statuses = []
    for environment in session.environments(given.env):
        spooled = [str(path) for path in record.spooled(session.state, environment.name)]
        entry: dict[str, Any] = {"env": environment.name, "head": head, "spooled": spooled}
        known = recorded.read(environment, environment.data["targets"], given.timeout)
        entry["applied"] = known.applied
        entry["pauses"] = {f"{environment.name}/{target}": asdict(pause) for target, pause in known.pauses.items()}
        if known.applied_error:
            entry["error"] = known.applied_error
        if known.pauses_error:
            entry["pauses_error"] = known.pauses_error
        statuses.append(Exit.INCOMPLETE if known.applied_error or known.pauses_error else Exit.OK)
        found.append(entry)
    if given.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        for entry in found:
            print("\n".join(_lines(entry)))
    return worst(statuses)


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    applied = entry["applied"]
    if "error" in entry:
        yield f"{entry['env']}: unknown: {entry['error']}"
    elif applied is None:
        yield f"{entry['env']}: never applied"
    else:
        behind = "" if applied["commit"] == entry["head"] else f"; this checkout is at {entry['head'][:7]}"
        yield (
            f"{entry['env']}: {applied['commit'][:7]} applied {applied['finished']} by {applied['actor']}, "
            f"{applied['result']}{behind}"
        )
        for scope, state in applied.get("scopes", {}).items():
            yield f"  {scope}: {state.get('commit', 'never')[:7]} {state['result']}"
    for scope, pause in entry.get("pauses", {}).items():
        yield f"  {scope}: {pauses.Pause(**pause).text()}"
    if "pauses_error" in entry and "error" not in entry:
        yield f"  whether a scope is paused is not known: {entry['pauses_error']}"
    for path in entry["spooled"]:
        yield f"  not yet written: {path} (the next apply writes it)"
