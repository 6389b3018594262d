"""The order of writes: dependencies first, and deletions last, in reverse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Change, Id, Resource


def ranks(resources: Iterable[Resource]) -> Mapping[Id, int]:
    """The level of each resource: 0 has no dependency, n depends on one of level n-1. A cycle is a `ConfigError`."""
    by_id = {resource.id: resource for resource in resources}
    graph = {identity: [d for d in resource.deps if d in by_id] for identity, resource in by_id.items()}
    try:
        ordered = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        cycle = error.args[1]
        places = " -> ".join(f"{identity} ({by_id[identity].span})" for identity in cycle)
        raise ConfigError(f"dependencies form a cycle: {places}; remove one of them") from None
    level: dict[Id, int] = {}
    for identity in ordered:
        level[identity] = max((level[d] + 1 for d in graph[identity]), default=0)
    return level


def levels(changes: Sequence[Change], rank: Mapping[Id, int], *, reverse: bool = False) -> list[list[Change]]:
    """Changes grouped by level, no dependency inside a group; an id that git does not know goes by `deletion_rank`."""
    grouped: dict[int, list[Change]] = {}
    for change in changes:
        grouped.setdefault(rank.get(change.id, deletion_rank(change)), []).append(change)
    return [grouped[key] for key in sorted(grouped, reverse=reverse)]


_CONTAINERS = {"Namespace": -3, "CustomResourceDefinition.apiextensions.k8s.io": -2, "Bucket": -2, "BucketIam": -1}


def deletion_rank(change: Change) -> int:
    """A level for what git does not know any more: what contains other things counts as their dependency."""
    return _CONTAINERS.get(change.id.kind, 1_000)
