"""`mlab fmt`: configuration in one form. YAML: schema line, order of keys, quotes; comments stay where they are.

Jsonnet is formatted by the pinned formatter, which is built when it is first needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from reconcilers.cli.exits import Exit
from reconcilers.cli.session import count, root_of
from reconcilers.core.model import Diagnostic
from reconcilers.load import format as formatting
from reconcilers.load import present


def run(given: argparse.Namespace) -> int:
    """Write what differs; with `--check` only name it, and exit 5."""
    root = root_of(given)
    jsonnet = [path for path in given.paths if path.endswith((".jsonnet", ".libsonnet"))]
    yaml = [Path(path) for path in given.paths if path not in jsonnet]
    changed: list[str] = []
    problems: list[Diagnostic] = []
    if yaml or not jsonnet:
        formatted = formatting.format_tree(root, only=yaml or None, write=not given.check)
        changed += formatted.changed
        problems += formatted.problems
    if jsonnet or (not yaml and (root / "jsonnet").is_dir()):
        from reconcilers.cli import jsonnet_files

        files = jsonnet or jsonnet_files.find(root)
        moved, wrong = jsonnet_files.format_files(root, files, write=not given.check)
        changed += moved
        problems += wrong
    if given.json:
        shown = [present.as_json(problem) for problem in problems]
        print(json.dumps({"changed": changed, "problems": shown}, ensure_ascii=False))
    else:
        for path in changed:
            print(f"{path}: {'would be formatted' if given.check else 'formatted'}")
        for problem in problems:
            print(problem.line())
    if problems:
        print(count(len(problems)), file=sys.stderr)
    if given.check and changed:
        print("run `mlab fmt`, or `make fmt`", file=sys.stderr)
    return Exit.INVALID if problems or (given.check and changed) else Exit.OK
