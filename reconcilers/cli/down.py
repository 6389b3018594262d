"""`mlab down`: stop the platform on this machine and remove what it kept."""

from __future__ import annotations

import argparse
import json
import sys

from reconcilers.cli import platform_steps
from reconcilers.cli.exits import Exit
from services.local import platform, progress


def run(given: argparse.Namespace) -> int:
    """Succeeds when nothing runs, too."""
    with platform_steps.failures():
        platform.down(platform_steps.folder(given), progress.to(sys.stderr))
    print(json.dumps({"down": True}) if given.json else "down: no process and no file of the platform is left")
    return Exit.OK
