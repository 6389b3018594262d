"""Reports that go to a file: whole or not at all, or added to what is there, as GitHub reads a step's summary.

No resolved secret gets into one.
"""

from __future__ import annotations

import os
from pathlib import Path

from reconcilers.core.errors import UsageError
from reconcilers.providers import secrets


def whole(path: Path, content: str) -> None:
    """Write beside and rename: a reader never sees half a report."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(secrets.redact(content))
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error}") from error


def added(path: Path, content: str) -> None:
    """Put it at the end of a file that others write to as well."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(secrets.redact(content).rstrip("\n") + "\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error}") from error
