"""Validates and renders one environment in a process of its own, under limits of memory and processor time.

    python -m reconcilers.loop.child ROOT ENV MEMORY_MIB CPU_S [OVERLAY ...]

Writes one value to stdout (`wanted.encode`): the wanted state, or the problems of a configuration that is not valid.
Started by `rendering.render` alone.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconcilers.core.errors import ConfigError
from reconcilers.fleet import permissions
from reconcilers.load import fleet as loading
from reconcilers.load import overlay as overlays
from reconcilers.load.cache import Cache
from reconcilers.load.jsonnet import Engine
from reconcilers.loop import wanted
from reconcilers.render import all as rendering

SHIPPED = Path(__file__).parents[2] / "jsonnet"


def main(words: list[str]) -> None:
    """See the module."""
    root, name, memory_mib, cpu_s = Path(words[0]), words[1], int(words[2]), int(words[3])
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    overlay = overlays.read(Path(word) for word in words[4:])
    try:
        found: wanted.Wanted | wanted.Invalid = rendered(root, name, overlay)
    except ConfigError as error:
        found = wanted.Invalid(tuple(problem.line() for problem in error.problems) or (str(error),))
    sys.stdout.buffer.write(wanted.encode(found))


def rendered(root: Path, name: str, overlay: Any) -> wanted.Wanted:
    """The environment of a root. Raises `ConfigError`."""
    fleet = loading.load(root, overlay=overlay).require()
    environment = fleet.environments.get(name)
    if environment is None:
        raise ConfigError(f"config/environments/ has no {name}; known: {', '.join(fleet.environments)}")
    own = root / "jsonnet"
    cache = Cache()
    desired = rendering.desired(fleet, environment, engine=Engine(own if own.is_dir() else SHIPPED, cache))
    # Places of single values reach into the document that was read; a loop needs only those of its modes.
    spans = {path: span for path, span in environment.spans.items() if path.startswith("modes.")}
    environment = replace(environment, spans=spans)
    return wanted.Wanted(
        environment, tuple(permissions.acks(fleet)), desired, {"hit": cache.hits, "miss": cache.misses}
    )


if __name__ == "__main__":
    main(sys.argv[1:])
