"""`mlab validate`: every problem of the configuration in one run, sorted, one line each."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from reconcilers.cli.exits import Exit
from reconcilers.cli.session import count, root_of
from reconcilers.fleet import rules
from reconcilers.load import fleet as loading


def run(given: argparse.Namespace) -> int:
    """Exit 5 if there is any error; warnings and notes are shown and change nothing."""
    root = root_of(given)
    if given.changed and not _changed(root):
        print("valid: nothing below config/ differs from the last commit", file=sys.stderr)
        return Exit.OK
    only = [Path(path) for path in given.paths] or None
    loaded = loading.load(root, only=only, use_cache=not given.no_cache)
    problems = sorted((*loaded.problems, *loaded.warnings, *loaded.notes), key=rules.order)
    form = "json" if given.json else given.format
    if problems or form == "json":
        from reconcilers.load import present

        if form == "json":
            print(json.dumps([present.as_json(problem) for problem in problems], indent=1, ensure_ascii=False))
        elif form == "github":
            print("\n".join(present.annotation(problem) for problem in problems))
        else:
            print(present.text(problems, root if given.verbose else None).rstrip("\n"))
    errors = sum(problem.severity == "error" for problem in problems)
    if errors:
        print(count(errors), file=sys.stderr)
        return Exit.INVALID
    if form == "text":
        print(_sums(loaded))
    return Exit.OK


def _changed(root: Path) -> bool:
    """Whatever changed, everything is read: one file can break a rule at another one's place."""
    from reconcilers.load import worktree

    worktree.require(root)
    return any(file.startswith("config/") for file in worktree.uncommitted(root).files)


def _sums(loaded: loading.Loaded) -> str:
    fleet = loaded.fleet
    physical = sum(site.type == "physical" for site in fleet.sites.values())
    machines = sum(len(site.machines) for site in fleet.sites.values())
    return (
        f"valid: {len(fleet.sites)} sites ({physical} physical, {len(fleet.sites) - physical} virtual), "
        f"{machines} machines, {len(fleet.experiments)} experiments, {len(fleet.alerts)} alert groups, "
        f"{len(fleet.environments)} environments"
    )
