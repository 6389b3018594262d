"""What git wants of one environment, at each of its targets.

The modules are imported when their target is asked for: a plan of the boot records does not pay for jsonnet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module

from reconcilers.core.errors import ConfigError, UsageError
from reconcilers.core.model import Id, Resource
from reconcilers.fleet.model import Environment, Fleet
from reconcilers.load import codes
from reconcilers.load.jsonnet import Engine
from reconcilers.render import ownership

TARGETS = ("kubernetes", "buckets", "epoxy", "dns", "monitoring")
_WITH_JSONNET = frozenset({"kubernetes", "monitoring"})


def desired(
    fleet: Fleet, environment: Environment, *, engine: Engine, targets: Iterable[str] | None = None
) -> Mapping[str, tuple[Resource, ...]]:
    """The resources of each chosen target that the environment has, in the order of `TARGETS`.

    Raises `UsageError` for an unknown target and `ConfigError` for what cannot be rendered.
    """
    chosen = TARGETS if targets is None else tuple(targets)
    for target in chosen:
        if target not in TARGETS:
            raise UsageError(f"--target {target}: no such target; known: {', '.join(TARGETS)}")
    present = environment.data.get("targets", {})
    return {
        target: _rendered(target, fleet, environment, engine)
        for target in TARGETS
        if target in chosen and target in present
    }


def _rendered(target: str, fleet: Fleet, environment: Environment, engine: Engine) -> tuple[Resource, ...]:
    module = import_module(f"reconcilers.render.{target}")
    arguments = (fleet, environment, engine) if target in _WITH_JSONNET else (fleet, environment)
    rendered: tuple[Resource, ...] = module.resources(*arguments)
    seen: dict[Id, Resource] = {}
    for resource in rendered:
        other = seen.setdefault(resource.id, resource)
        if other is not resource:
            message = f"{resource.id} is wanted twice at {environment.name}/{target}, also by {other.span}"
            problem = codes.TWICE.at(resource.span, message, related=((other.span, "here too"),))
            raise ConfigError(f"{resource.span}: {message}; rename one of them", [problem])
    return ownership.claimed(environment, target, rendered)
