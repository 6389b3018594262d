"""The targets by name. Each provider is imported when it is needed: two of the clients are slow to load."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from reconcilers.core.errors import UsageError
from reconcilers.core.provider import Provider
from reconcilers.fleet.model import Environment

_CLASSES = {
    "buckets": "BucketsProvider",
    "epoxy": "EpoxyProvider",
    "kubernetes": "KubernetesProvider",
    "monitoring": "MonitoringProvider",
}
NAMES = tuple(_CLASSES)
"""All targets, in the order in which reports show them."""


def connect(target: str, environment: Environment) -> Provider:
    """The provider of one target of an environment; nothing is contacted before its first call."""
    if target not in _CLASSES:
        raise UsageError(f"{target}: no such target; known: {', '.join(NAMES)}")
    module = importlib.import_module(f"reconcilers.providers.{target}")
    make: Callable[[Environment], Provider] = getattr(module, _CLASSES[target])
    return make(environment)
