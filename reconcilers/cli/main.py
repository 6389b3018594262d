"""The outermost handler: one verb, one exit status, one line for an error, and no traceback for a person."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

from reconcilers.cli import arguments
from reconcilers.cli.exits import Exit, of
from reconcilers.core.errors import ConfigError, MlabError


def entry() -> None:
    """The console command."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    try:
        given = arguments.parser().parse_args(argv)
    except SystemExit as stop:  # argparse says 2 for a bad command line; 2 means pending changes here
        return Exit.OK if not stop.code else Exit.ERROR
    try:
        status = _run(given)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("interrupted; running `mlab plan` again shows what is left to do", file=sys.stderr)
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except ConfigError as error:
        for problem in error.problems:
            print(problem.line())
        print(f"mlab: {error}", file=sys.stderr)
        return Exit.INVALID
    except MlabError as error:
        print(f"mlab: {error}", file=sys.stderr)
        return of(error)
    except Exception as error:
        print(f"mlab: internal error: {type(error).__name__}: {error}; report it with {_log(argv)}", file=sys.stderr)
        return Exit.ERROR


def _run(given: argparse.Namespace) -> int:
    module = importlib.import_module(f"reconcilers.cli.{given.verb}")
    status: int = module.run(given)
    return status


def _log(argv: Sequence[str]) -> str:
    """Keep the traceback of a bug in a file that only its owner reads."""
    handle, path = tempfile.mkstemp(prefix="mlab-", suffix=".log")
    with os.fdopen(handle, "w") as file:
        file.write(f"mlab {' '.join(argv)}\npython {sys.version}\n\n{traceback.format_exc()}")
    return path
