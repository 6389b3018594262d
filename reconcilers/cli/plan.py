"""`mlab plan`: what an apply would change. Writes nothing at any target."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from reconcilers.cli import keeping, planning
from reconcilers.cli.exits import Exit, worst
from reconcilers.cli.session import open_session
from reconcilers.report import colour, markdown, text, workflow
from reconcilers.report.run import VERSION, RunPlan, as_json


def status_of(made: RunPlan) -> Exit:
    """4 for a scope that was not observed, 3 for an exceeded limit or a blocked change, 2 for changes, 0 for none."""
    found = [Exit.OK]
    for plan in made.plans:
        if not plan.complete:
            found.append(Exit.INCOMPLETE)
        if plan.refused or any(change.blocked for change in plan.changes):
            found.append(Exit.REFUSED)
        if plan.changes:
            found.append(Exit.CHANGES)
    return worst(found)


def document(made: Sequence[RunPlan]) -> dict[str, Any]:
    """One environment's plan as it is, several ones as a list."""
    if len(made) == 1:
        return as_json(made[0])
    return {"v": VERSION, "environments": [as_json(one) for one in made]}


def run(given: argparse.Namespace) -> int:
    """Print the plan of each chosen environment, and keep it if asked."""
    session = open_session(given, live=True)
    plans = []
    for environment in session.environments(given.env):
        with ExitStack() as stack:
            made = planning.make(session, environment, given, stack).made
        plans.append(made)
        if given.format == "text" and not given.json:
            lines = text.plan(made, verbose=given.verbose)
            print("\n".join(colour.paint(lines, on=colour.wanted(given.color, sys.stdout))), flush=True)
        elif given.format == "markdown" and not given.json:
            print(markdown.plan(made))
        elif given.format == "github" and not given.json:
            print("\n".join(workflow.plan(made)))
    if given.json or given.format == "json":
        print(json.dumps(document(plans), indent=1, ensure_ascii=False))
    if given.out:
        keeping.whole(Path(given.out), json.dumps(document(plans), ensure_ascii=False))
    for path in given.markdown:
        keeping.added(Path(path), "\n\n".join(markdown.plan(made, artifact=given.link) for made in plans))
    statuses = [*(status_of(made) for made in plans), session.bugs.told()]
    return worst(Exit.OK if given.changes_ok and status is Exit.CHANGES else status for status in statuses)
