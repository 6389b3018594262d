"""`mlab schema`: the JSON Schemas that editors, hooks and this program validate with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from reconcilers.cli.exits import Exit
from reconcilers.core.errors import UsageError

FOLDER = Path(__file__).parents[2] / "schemas"
_SUFFIX = ".schema.json"


def run(given: argparse.Namespace) -> int:
    """Print one schema, or list all with their titles."""
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
