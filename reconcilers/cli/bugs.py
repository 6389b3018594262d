"""Errors that are ours: one line for the person, the traces in a file that only its owner reads, and exit 1.

A bug in one target's provider does not end a run; it is collected here and told at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from reconcilers.cli.exits import Exit


class Bugs:
    """What went wrong by our fault in this run."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = tuple(argv)
        self._errors: list[BaseException] = []

    def __call__(self, error: BaseException) -> None:
        """Take one."""
        self._errors.append(error)

    def told(self) -> Exit:
        """Print where the traces are, if there are any, and how that counts."""
        if not self._errors:
            return Exit.OK
        last = self._errors[-1]
        path = self._kept()
        print(f"mlab: internal error: {type(last).__name__}: {last}; report it with {path}", file=sys.stderr)
        return Exit.ERROR

    def _kept(self) -> str:
        import tempfile
        import traceback

        from reconcilers.providers import secrets

        handle, path = tempfile.mkstemp(prefix="mlab-", suffix=".log")
        with os.fdopen(handle, "w") as file:
            file.write(f"mlab {' '.join(self._argv)}\npython {sys.version}\n")
            for error in self._errors:
                file.write("\n" + secrets.redact("".join(traceback.format_exception(error))))
        return path
