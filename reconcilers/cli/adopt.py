"""`mlab adopt`: take over live things that git wants and that bear nobody's mark, once, without a change in git."""

from __future__ import annotations

import argparse

from reconcilers.cli import claiming
from reconcilers.core.model import Action


def run(given: argparse.Namespace) -> int:
    """Exit 1 if none of the named is there to be adopted: it is ours already, or git does not want it.

    With `--dump` configuration is written instead: see `adopt_dump`.
    """
    if given.dump:
        from reconcilers.cli import adopt_dump

        return adopt_dump.run(given)
    nothing = "nothing to adopt: git does not want it, it is not there, or it is ours already; see `mlab plan`"
    status, _ = claiming.run(given, Action.ADOPT, nothing)
    return status
