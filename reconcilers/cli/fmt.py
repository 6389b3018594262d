"""`mlab fmt`: the YAML of config/ in one form: schema line, order of keys, quotes. Comments stay where they are."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from reconcilers.cli.exits import Exit
from reconcilers.cli.session import count, root_of
from reconcilers.load import format as formatting


def run(given: argparse.Namespace) -> int:
    """Write what differs; with `--check` only name it, and exit 5."""
    only = [Path(path) for path in given.paths] or None
    formatted = formatting.format_tree(root_of(given), only=only, write=not given.check)
    if given.json:
        print(json.dumps({"changed": [str(path) for path in formatted.changed]}))
    else:
        for path in formatted.changed:
            print(f"{path}: {'would be formatted' if given.check else 'formatted'}")
    for problem in formatted.problems:
        print(problem.line())
    if formatted.problems:
        print(count(len(formatted.problems)), file=sys.stderr)
    if given.check and formatted.changed:
        print("run `mlab fmt`, or `make fmt`", file=sys.stderr)
    return Exit.INVALID if formatted.problems or (given.check and formatted.changed) else Exit.OK
