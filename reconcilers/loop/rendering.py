"""Runs the child that validates and renders, and sorts what becomes of it: a value, a bad commit, or an accident."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reconcilers.core.errors import ConfigError, MlabError, one_line
from reconcilers.loop import wanted
from reconcilers.loop.source import Source
from reconcilers.loop.wanted import Wanted

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one child: address space, processor time, and time on the wall."""

    memory_mib: int = 2048
    cpu_s: int = 120
    wall_s: float = 300.0


class Renderer:
    """Renders commits of one environment and keeps the last; `overlays` are files as `load.overlay` reads them."""

    def __init__(self, source: Source, env: str, overlays: Sequence[Path], limits: Limits) -> None:
        self._source, self._env, self._overlays, self._limits = source, env, overlays, limits
        self._kept: OrderedDict[str, Wanted] = OrderedDict()

    def at(self, sha: str) -> Wanted:
        """What git wants at a commit. Raises `ConfigError` if it is not valid or takes more than a child may."""
        kept = self._kept.get(sha)
        if kept is not None:
            self._kept.move_to_end(sha)
            return kept
        with tempfile.TemporaryDirectory(prefix="mlab-loop-") as folder:
            root = self._source.export(sha, Path(folder))
            made = render(root, sha, self._env, self._overlays, self._limits)
        self._kept[sha] = made
        while len(self._kept) > 2:  # the one that is served, and the one last applied
            self._kept.popitem(last=False)
        return made


def render(root: Path, sha: str, env: str, overlays: Sequence[Path], limits: Limits) -> Wanted:
    """One child's answer."""
    command = [sys.executable, "-m", "reconcilers.loop.child", str(root), env]
    command += [str(limits.memory_mib), str(limits.cpu_s)]
    command += [str(path) for path in overlays]
    short = sha[:7]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            cwd=CHECKOUT,
            env={key: value for key, value in os.environ.items() if not key.startswith("MLAB_FAULT")},
            timeout=limits.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{short} did not render within {limits.wall_s:.0f} s") from None
    except OSError as error:
        raise MlabError(f"the rendering process cannot be started: {error}") from None
    if done.returncode != 0:
        last = one_line(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2], 160)
        raise ConfigError(
            f"{short} could not be rendered within {limits.memory_mib} MiB and {limits.cpu_s} s of processor time "
            f"(status {done.returncode}): {last}"
        )
    try:
        found = wanted.decode(done.stdout)
    except ValueError as error:
        raise MlabError(f"{short}: {error}") from None
    if isinstance(found, wanted.Invalid):
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise ConfigError(f"{short} is not valid: {found.problems[0]}{more}")
    return replace(found, sha=sha)
