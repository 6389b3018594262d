"""`mlab unlock SCOPE --holder ID`: remove the lock of a run that died, without waiting for its expiry."""

from __future__ import annotations

import argparse
import json

from reconcilers.cli.exits import Exit
from reconcilers.cli.session import open_session
from reconcilers.core.errors import UsageError
from reconcilers.providers import targets


def run(given: argparse.Namespace) -> int:
    """Refuses if another holder has the lock."""
    session = open_session(given, live=True)
    env, _, target = given.scope.partition("/")
    if not target:
        raise UsageError(f"{given.scope}: a scope is ENVIRONMENT/TARGET, for example production/kubernetes")
    provider = targets.connect(target, session.environments([env])[0], given.timeout)
    try:
        provider.unlock(given.holder)
    finally:
        provider.close()
    print(
        json.dumps({"scope": given.scope, "unlocked": True})
        if given.json
        else f"{given.scope}: no lock of {given.holder} is left"
    )
    return Exit.OK
