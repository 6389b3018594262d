"""An import by the `mlab` command with the result as a value, and a folder's content for comparison."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command import mlab as mlab


@dataclass(frozen=True, slots=True)
class Imported:
    """Where an inventory came to lie, and what the import said of it."""

    root: Path
    said: dict[str, Any]

    def site(self, name: str) -> str:
        """The text of a site's file."""
        return (self.root / f"config/sites/{name}.yaml").read_text()


def bring(source: Path | str, *flags: str, into: Path, published: bool = False) -> Imported:
    """Import and succeed."""
    where = ("--published", str(source)) if published else (str(source),)
    done = mlab("import", "siteinfo", *where, "--into", into, "--json", *flags)
    assert done.status == 0, done.out + done.err
    return Imported(into, json.loads(done.out))


def content(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
