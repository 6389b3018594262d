"""`mlab up`: the whole platform on this machine, one set of servers an environment."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from reconcilers.cli import platform_steps
from reconcilers.cli.exits import Exit
from reconcilers.cli.session import count, root_of
from reconcilers.core.errors import ConfigError, UsageError
from reconcilers.load import fleet as loading
from services.local import platform, progress
from services.local.interrupts import Interrupts


def run(given: argparse.Namespace) -> int:
    """Start what is not running yet, each with its health check; what a killed `up` left is cleaned first."""
    loaded = loading.load(root_of(given))
    if errors := [problem for problem in loaded.problems if problem.severity == "error"]:
        raise ConfigError(count(len(errors)), errors)
    known = loaded.fleet.environments
    for name in given.env:
        if name not in known:
            raise UsageError(f"--env {name}: no such environment; known: {', '.join(known)}")
    chosen = {name: env for name, env in known.items() if not given.env or name in given.env}
    settings = platform.Settings(
        environments={name: env.project for name, env in chosen.items()},
        zones={name: tuple(env.data["targets"].get("dns", {}).get("zones", ())) for name, env in chosen.items()},
        listen=given.listen,
        extra_names=tuple(given.name),
        namespace=given.netns,
    )
    folder = platform_steps.folder(given)
    Interrupts()
    with platform_steps.failures():
        path = platform.up(folder, settings, progress.to(sys.stderr), stage="light" if given.light else "full")
        servers = platform.status(folder)
    if given.json:
        print(json.dumps({"platform": str(path), "servers": [asdict(server) for server in servers]}))
        return Exit.OK
    print(f"up: {', '.join(settings.environments)}; targets are now those of {path}; `mlab down` stops it")
    print(f"logs: {path.parent}/logs/ENVIRONMENT/PROGRAM.log")
    if given.netns:
        print(f"they are reached from inside the network namespace only: `ip netns exec {given.netns} mlab plan`")
    return Exit.OK
