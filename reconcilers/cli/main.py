"""The outermost handler: one verb, one exit status, one line for an error, and no traceback for a person."""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
from collections.abc import Sequence

from reconcilers.cli import arguments, output
from reconcilers.cli.bugs import Bugs
from reconcilers.cli.exits import Exit, of
from reconcilers.core.errors import ConfigError, MlabError


def entry(argv: Sequence[str] | None = None) -> None:
    """The console command; what it is asked for is on this process's command line unless given."""
    # A zone is a hundred thousand small values without a cycle: looking for one after each 700 of them, as is usual,
    # takes a tenth of the time.
    gc.set_threshold(100_000, 20, 100)
    status = main(sys.argv[1:] if argv is None else argv)
    gc.freeze()  # nor at the end: the process goes, and its memory with it
    sys.exit(status)


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    if not argv:
        arguments.parser().print_help(sys.stderr)
        return Exit.ERROR
    try:
        given = arguments.parser().parse_args(argv)
    except SystemExit as stop:  # argparse says 2 for a bad command line; 2 means pending changes here
        return Exit.OK if not stop.code else Exit.ERROR
    output.guard()
    given.bugs = Bugs(argv)
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
        _print_problems(error, as_json=getattr(given, "json", False))
        print(f"mlab: {error}", file=sys.stderr)
        return Exit.INVALID
    except MlabError as error:
        print(f"mlab: {error}", file=sys.stderr)
        return of(error)
    except Exception as error:
        given.bugs(error)
        return Exit(given.bugs.told())


def _run(given: argparse.Namespace) -> int:
    name = given.module if "module" in given else given.verb.replace("-", "_")
    module = importlib.import_module(f"reconcilers.cli.{name}")
    status: int = module.run(given)
    return status


def _print_problems(error: ConfigError, *, as_json: bool) -> None:
    if as_json:
        from reconcilers.load import present

        print(json.dumps([present.as_json(problem) for problem in error.problems], indent=1, ensure_ascii=False))
        return
    for problem in error.problems:
        print(problem.line())
