"""`mlab completion SHELL`: a completion script, made from the argument parser."""

from __future__ import annotations

import argparse

import shtab

from reconcilers.cli import arguments
from reconcilers.cli.exits import Exit


def run(given: argparse.Namespace) -> int:
    """Print it; `eval "$(mlab completion bash)"` turns it on."""
    print(shtab.complete(arguments.parser(), shell=given.shell))
    return Exit.OK
