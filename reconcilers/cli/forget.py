"""`mlab forget`: stop managing live things and leave them as they are, without any mark of ours."""

from __future__ import annotations

import argparse
import sys

from reconcilers.cli import claiming
from reconcilers.cli.exits import Exit
from reconcilers.core.model import Action


def run(given: argparse.Namespace) -> int:
    """Exit 1 if none of the named is ours."""
    nothing = "nothing to forget: none of it is ours there; see `mlab plan`"
    status, found = claiming.run(given, Action.FORGET, nothing)
    if status == Exit.OK and found:
        step = (
            "remove it from git too, if it is there: until then each plan shows it as an adoption that nobody asked for"
        )
        print(step, file=sys.stderr)
    return status
