"""Golden files: compared byte for byte, written anew by `MLAB_GOLDEN=write make test`, and read in review."""

from __future__ import annotations

import os
from pathlib import Path


def check(path: Path, content: str) -> None:
    """Compare with the file, or write it when asked to."""
    if os.environ.get("MLAB_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert path.exists(), f"{path.name} is missing: write it with MLAB_GOLDEN=write and review it"
    assert content == path.read_text()
