"""`mlab resume SCOPE`: end a pause before its time."""

from __future__ import annotations

import argparse
from contextlib import closing
from datetime import UTC, datetime

from reconcilers.cli import pause
from reconcilers.cli.exits import Exit
from reconcilers.cli.session import open_session
from reconcilers.providers import pauses
from reconcilers.providers.records import Records


def run(given: argparse.Namespace) -> int:
    """A scope that is not paused is none after it, either."""
    session = open_session(given, live=True)
    environment, targets = pause.chosen(session, given.scope)
    with closing(Records(environment, given.timeout)) as records:
        pauses.change(records, environment.name, {}, targets, datetime.now(UTC))
    for target in targets:
        print(f"{environment.name}/{target}: not paused")
    return Exit.OK
