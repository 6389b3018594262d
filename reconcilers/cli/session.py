"""What every verb starts from: the root, the loaded fleet, the platform's overlay, and the chosen environments."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconcilers.cli.bugs import Bugs
from reconcilers.core import collector
from reconcilers.core.errors import ConfigError, UsageError
from reconcilers.core.model import Resource
from reconcilers.fleet import rules
from reconcilers.fleet.model import Environment, Fleet
from reconcilers.load import fleet as loading
from reconcilers.load import overlay as overlays


@dataclass(frozen=True, slots=True)
class Session:
    """A valid configuration, ready to render."""

    root: Path
    state: Path
    fleet: Fleet
    overlay: Mapping[str, Any] | None
    use_cache: bool
    bugs: Bugs
    checkout: Path
    """Where git is asked; `root` itself, but for the configuration of a commit that is not checked out."""
    at: str = ""
    """That commit, or empty."""
    notes: tuple[str, ...] = ()
    """What a plan of it must say."""

    def environments(self, names: Iterable[str]) -> list[Environment]:
        """The chosen ones in order of promotion; all when none is named."""
        wanted = list(names)
        for name in wanted:
            if name not in self.fleet.environments:
                known = ", ".join(self.fleet.environments)
                raise UsageError(
                    f"--env {name}: no such environment in {self.root}/config/environments; known: {known}"
                )
        chosen = [env for name, env in self.fleet.environments.items() if not wanted or name in wanted]
        return sorted(chosen, key=lambda env: (_order(env.name), env.name))

    def render(self, environment: Environment, targets: Iterable[str] | None = None) -> dict[str, tuple[Resource, ...]]:
        """What git wants at each target of an environment."""
        from reconcilers.load.cache import Cache
        from reconcilers.load.jsonnet import Engine
        from reconcilers.render import all as rendering

        engine = Engine(jsonnet_root(self.root), Cache() if self.use_cache else None, still=True)
        with collector.paused():
            return dict(rendering.desired(self.fleet, environment, engine=engine, targets=targets))


def _order(name: str) -> int:
    known = ("sandbox", "staging", "production")
    return known.index(name) if name in known else len(known)


def root_of(given: argparse.Namespace) -> Path:
    """The folder that holds config/. Raises `UsageError` if there is none."""
    root = Path(given.root)
    if not (root / "config").is_dir():
        raise UsageError(f"{root}: no config/ here; run mlab in a checkout or name one with --root")
    return root


def state_of(given: argparse.Namespace) -> Path:
    """Where spools, audit files and the platform of this machine lie."""
    return Path(given.state or os.environ.get("MLAB_STATE") or Path(given.root) / ".mlab").resolve()


def jsonnet_root(root: Path) -> Path:
    """The root's own jsonnet/, or the program's where a configuration comes without one."""
    own = root / "jsonnet"
    return own if own.is_dir() else Path(__file__).parents[2] / "jsonnet"


def overlay_of(state: Path) -> Mapping[str, Any] | None:
    """What lies over the environments on this machine; None if nothing does."""
    return overlays.read(overlays.files(state))


def open_session(given: argparse.Namespace, *, live: bool = False) -> Session:
    """Load everything. Raises `ConfigError` with all problems if anything is invalid.

    With `--at` the configuration is that of a commit, and only the addresses are this checkout's: see `proposed`.
    """
    root, state = root_of(given), state_of(given)
    overlay = overlay_of(state)
    use_cache = not getattr(given, "no_cache", False)
    where, at = root, ""
    if getattr(given, "at", None):
        from reconcilers.cli import proposed

        where, at = proposed.export(root, given.at)
    loaded = loading.load(where, overlay=overlay, use_cache=use_cache)
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    if errors:
        raise ConfigError(count(len(errors)), errors)
    fleet = loaded.fleet
    notes: tuple[str, ...] = ()
    if at:
        fleet, notes = proposed.with_own_addresses(loaded.fleet, proposed.own_fleet(root, overlay), where, root)
    quiet = getattr(given, "quiet", False)
    if not quiet:
        for remark in sorted((*loaded.warnings, *loaded.notes), key=rules.order):
            print(remark.line(), file=sys.stderr)
    if live:
        from reconcilers.cli import logs

        logs.log_to_stderr()
    if overlay is not None and "stage" in overlay and live and not quiet:
        print(f"targets: the platform on this machine ({state / 'platform'})", file=sys.stderr)
    return Session(where, state, fleet, overlay, use_cache, given.bugs, root, at, notes)


def count(errors: int) -> str:
    """The closing line for an invalid configuration."""
    return f"{errors} problem{'s' if errors != 1 else ''}; `mlab explain CODE` says more of each rule"
