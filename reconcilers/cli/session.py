"""What every verb starts from: the root, the loaded fleet, the platform's overlay, and the chosen environments."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconcilers.core.errors import ConfigError, UsageError
from reconcilers.core.model import Resource
from reconcilers.fleet.model import Environment, Fleet
from reconcilers.load import fleet as loading


@dataclass(frozen=True, slots=True)
class Session:
    """A valid configuration, ready to render."""

    root: Path
    state: Path
    fleet: Fleet
    overlay: Mapping[str, Any] | None
    use_cache: bool

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

        engine = Engine(jsonnet_root(self.root), Cache() if self.use_cache else None)
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
    """Where the targets are while the platform of this machine runs; None without one."""
    file = state / "platform" / "platform.json"
    try:
        document: Mapping[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read: {error}; run `mlab down`, then `mlab up`") from error
    return document


def open_session(given: argparse.Namespace, *, live: bool = False) -> Session:
    """Load everything. Raises `ConfigError` with all problems if anything is invalid."""
    root, state = root_of(given), state_of(given)
    overlay = overlay_of(state)
    loaded = loading.load(root, overlay=overlay)
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    if errors:
        raise ConfigError(count(len(errors)), errors)
    if overlay is not None and live and not getattr(given, "quiet", False):
        print(f"targets: the platform on this machine ({state / 'platform'})", file=sys.stderr)
    return Session(root, state, loaded.fleet, overlay, not getattr(given, "no_cache", False))


def count(errors: int) -> str:
    """The closing line for an invalid configuration."""
    return f"{errors} problem{'s' if errors != 1 else ''}; `mlab explain CODE` says more of each rule"
