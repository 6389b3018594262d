"""The `mlab` command in this process: for tests in which how the program starts is not the point."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from reconcilers.cli import main


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


def mlab(*words: str | Path) -> Done:
    """One command line."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main.main([str(word) for word in words])
    return Done(status, out.getvalue(), err.getvalue())
