"""`mlab validate`: every problem of the configuration in one run, sorted, one line each."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reconcilers.cli.exits import Exit
from reconcilers.cli.session import count, root_of
from reconcilers.load import fleet as loading


def run(given: argparse.Namespace) -> int:
    """Exit 5 if there is any error; warnings are shown and change nothing."""
    root = root_of(given)
    only = [Path(path) for path in given.paths] or None
    loaded = loading.load(root, only=only)
    problems = loaded.problems
    errors = sum(problem.severity == "error" for problem in problems)
    if given.json or given.format == "json":
        from reconcilers.report import problems as report

        print(report.as_json(problems))
    elif given.format == "github" or (given.verbose and problems):
        from reconcilers.report import problems as report

        lines = report.annotations(problems) if given.format == "github" else report.snippets(problems, root)
        for line in lines:
            print(line)
    else:
        for problem in problems:
            print(problem.line() if problem.severity == "error" else f"{problem.line()} (warning)")
    if errors:
        print(count(errors), file=sys.stderr)
        return Exit.INVALID
    if not (given.json or given.format == "json"):
        print(_sums(loaded))
    return Exit.OK


def _sums(loaded: loading.Loaded) -> str:
    fleet = loaded.fleet
    physical = sum(site.type == "physical" for site in fleet.sites.values())
    machines = sum(len(site.machines) for site in fleet.sites.values())
    return (
        f"valid: {len(fleet.sites)} sites ({physical} physical, {len(fleet.sites) - physical} virtual), "
        f"{machines} machines, {len(fleet.experiments)} experiments, {len(fleet.alerts)} alert groups, "
        f"{len(fleet.environments)} environments"
    )
