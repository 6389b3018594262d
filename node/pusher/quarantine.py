"""Files whose content is none of their datatype's: moved aside, with the path that they had, and never deleted."""

from __future__ import annotations

import itertools
from pathlib import Path

from node.pusher import faults
from node.pusher.tree import Tree

FOLDER = "quarantine"


def move(tree: Tree, name: str, folder: Path) -> Path:
    """Where it is now. Raises `OSError`."""
    wanted = folder / name
    wanted.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    to = next(
        path
        for path in (wanted if n == 0 else wanted.with_name(f"{wanted.name}.{n}") for n in itertools.count())
        if not path.exists()
    )
    faults.point("quarantine-before-rename")
    tree.move(name, to)
    faults.point("quarantine-after-rename")
    return to
