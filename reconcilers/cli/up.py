"""`mlab up`: the whole platform on this machine, one set of servers an environment."""

from __future__ import annotations

import argparse
import json
import sys

from reconcilers.cli import platform_steps
from reconcilers.cli.exits import Exit
from reconcilers.cli.session import count, root_of
from reconcilers.core.errors import ConfigError, UsageError
from reconcilers.load import fleet as loading
from services.local import platform, progress


def run(given: argparse.Namespace) -> int:
    """Start what is not running yet, each with its health check; what a killed `up` left is cleaned first."""
    loaded = loading.load(root_of(given))
    if loaded.problems:
        raise ConfigError(count(len(loaded.problems)), loaded.problems)
    known = loaded.fleet.environments
    for name in given.env:
        if name not in known:
            raise UsageError(f"--env {name}: no such environment; known: {', '.join(known)}")
    settings = platform.Settings(
        environments={name: env.project for name, env in known.items() if not given.env or name in given.env},
        listen=given.listen,
        extra_names=tuple(given.name),
        namespace=given.netns,
    )
    with platform_steps.failures():
        path = platform.up(
            platform_steps.folder(given), settings, progress.to(sys.stderr), stage="light" if given.light else "full"
        )
    if given.json:
        print(json.dumps({"platform": str(path)}))
    else:
        print(f"up: {', '.join(settings.environments)}; targets are now those of {path}; `mlab down` stops it")
    return Exit.OK
