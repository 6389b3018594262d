"""What is true of this machine alone and lies over the environments: never committed, files of the state folder.

    platform/platform.json   where the targets are, while `mlab up` runs them here
    images.json              releases of boot images that were built here, pinned as `config/images/` pins others

Each is `{"environments": {NAME: PATCH}}`; a patch is checked by the schema as what it lies over is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reconcilers.core.errors import UsageError
from reconcilers.load.fleet import merge

IMAGES = "images.json"


def files(state: Path) -> tuple[Path, ...]:
    """Where they are, if they are, in the order in which they are laid."""
    return state / "platform" / "platform.json", state / IMAGES


def read(paths: Iterable[Path]) -> Mapping[str, Any] | None:
    """All that are there as one; None without any. Raises `UsageError` for one that cannot be read."""
    made: dict[str, Any] | None = None
    for path in paths:
        try:
            document = json.loads(path.read_text())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            way_out = "remove it" if path.name == IMAGES else "run `mlab down`, then `mlab up`"
            raise UsageError(f"{path}: cannot be read: {error}; {way_out}") from error
        made = merge(made or {}, document)
    return made
