"""What an environment says of whose things are, put on its resources: adoption, protection, fields, renames.

`ownership` of an environment's file is written for resources of any target, because most of them are made of several
files and have no file of their own to say it in.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import structs

from reconcilers.core.model import Id, Resource
from reconcilers.fleet.model import Environment


def claimed(environment: Environment, target: str, resources: Sequence[Resource]) -> tuple[Resource, ...]:
    """The same resources with what is said of them."""
    said = environment.data.get("ownership") or {}
    if not said:
        return tuple(resources)
    moved = {entry["to"]: _identity(entry["from"]) for entry in said.get("moved", ())}
    return tuple(_claimed(resource, f"{target}/{resource.id}", said, moved) for resource in resources)


def _claimed(resource: Resource, name: str, said: Mapping[str, Any], moved: Mapping[str, Id]) -> Resource:
    fields = [f for entry in said.get("take_over", ()) if _matches(name, [entry["match"]]) for f in entry["fields"]]
    return structs.replace(
        resource,
        adopt=resource.adopt or _matches(name, said.get("adopt", ())),
        protect=resource.protect or _matches(name, said.get("protect", ())),
        take_over=(*resource.take_over, *fields),
        moved_from=moved.get(name, resource.moved_from),
    )


def stale(environment: Environment, wanted: Mapping[str, Sequence[Resource]]) -> Iterator[str]:
    """What is said of nothing that git wants (any more): one line each, for targets that are known whole."""
    said = environment.data.get("ownership") or {}
    names = {f"{target}/{resource.id}" for target, resources in wanted.items() for resource in resources}
    for key in ("adopt", "protect", "take_over", "moved"):
        for number, entry in enumerate(said.get(key, ())):
            glob = entry if isinstance(entry, str) else entry.get("match") or entry["to"]
            if glob.partition("/")[0] not in wanted or any(_matches(name, [glob]) for name in names):
                continue
            where = environment.spans.get(f"ownership.{key}.{number}", environment.span)
            yield f"{where}: ownership.{key} {glob} matches nothing that git wants; remove it"


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def _identity(name: str) -> Id:
    _, kind, rest = name.split("/", 2)
    return Id(kind, rest)
