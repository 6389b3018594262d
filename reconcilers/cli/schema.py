"""`mlab schema`: the JSON Schemas that editors, hooks and this program validate with, and what is made from them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from reconcilers.cli.exits import Exit
from reconcilers.cli.session import count, root_of
from reconcilers.core.errors import UsageError
from reconcilers.load import schema_files

FOLDER = Path(__file__).parents[2] / "schemas"
_SUFFIX = ".schema.json"


def run(given: argparse.Namespace) -> int:
    """Print one schema, or list all with their titles; or check or restore the order of schemas/."""
    if given.check or given.write:
        return _in_step(root_of(given), given)
    known = {p.relative_to(FOLDER).as_posix().removesuffix(_SUFFIX): p for p in sorted(FOLDER.rglob(f"*{_SUFFIX}"))}
    if given.kind is None:
        titles = {name: json.loads(path.read_text()).get("title", "") for name, path in known.items()}
        if given.json:
            print(json.dumps(titles, indent=1))
        else:
            width = max(map(len, titles))
            for name, title in titles.items():
                print(f"{name:<{width}}  {title}")
        return Exit.OK
    wanted = given.kind.lower().replace("_", "-")
    if wanted not in known:
        raise UsageError(f"{given.kind}: no such schema; known: {', '.join(known)}")
    print(known[wanted].read_text(), end="")
    return Exit.OK


def _in_step(root: Path, given: argparse.Namespace) -> int:
    own = root / schema_files.FOLDER
    if not own.is_dir():
        raise UsageError(f"{own}: no schemas here; a configuration without its own uses those of the program")
    if given.write:
        changed = schema_files.write(root, own)
        print(
            json.dumps({"changed": changed}) if given.json else "\n".join(f"{f}: written" for f in changed) or "in step"
        )
    problems = schema_files.check(root, own)
    for problem in problems:
        print(problem.line(), file=sys.stderr if given.json else sys.stdout)
    if problems:
        print(count(len(problems)), file=sys.stderr)
    return Exit.INVALID if problems else Exit.OK
