"""`mlab render`: what git wants at each target, without credentials and without contacting anything.

While a platform runs on this machine its addresses stand in for those of git, as they do in a plan.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconcilers.cli import selection
from reconcilers.cli.exits import Exit
from reconcilers.cli.session import Session, open_session
from reconcilers.core import diff
from reconcilers.core.errors import UsageError
from reconcilers.core.model import Field, Resource
from reconcilers.fleet.model import Environment
from reconcilers.report import values

Rendered = Mapping[str, tuple[Resource, ...]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One resource that two environments do not want alike; the environment that has none of it is None."""

    name: str
    before: str | None
    after: str | None
    fields: tuple[Field, ...] = ()

    def lines(self) -> Iterator[str]:
        """For a person: the environment named first is what it is compared with."""
        if not self.before or not self.after:
            yield f"{self.name}: only in {self.before or self.after}"
        for found in self.fields:
            yield from (f"{self.name}: {line}" for line in values.lines(found))

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        fields = [{"path": list(f.path), "before": f.before, "after": f.after} for f in self.fields]
        return {"id": self.name, "before": self.before, "after": self.after, "fields": fields}


def run(given: argparse.Namespace) -> int:
    """Print resources as JSON lines or a summary, write them to a folder, or compare two environments."""
    gc.disable()  # what is rendered lives to the end of this process, and looking for cycles in it takes longer
    session = open_session(given)
    environments = session.environments(given.env)
    if given.against:
        if len(environments) != 1:
            raise UsageError("--against compares two environments: name the other one with --env")
        for found in _compare(session, environments[0], session.environments([given.against])[0], given):
            print(json.dumps(found.as_json(), ensure_ascii=False) if given.json else "\n".join(found.lines()))
        return Exit.OK
    for environment in environments:
        rendered = _selected(session, environment, given)
        if given.out:
            _write(rendered, Path(given.out) / environment.name)
        if given.json:
            for target, resource in _each(rendered):
                print(json.dumps(_as_json(environment, target, resource), ensure_ascii=False, sort_keys=True))
        else:
            _summarise(environment, rendered)
    return Exit.OK


def _selected(session: Session, environment: Environment, given: argparse.Namespace) -> Rendered:
    """All resources of the chosen targets; globs on resources leave out what they do not match."""
    chosen = selection.chosen(environment, given.target, given.exclude)
    return {
        target: resources
        if chosen[target].whole
        else tuple(r for r in resources if chosen[target].holds(f"{target}/{r.id}"))
        for target, resources in session.render(environment, chosen).items()
    }


def _each(rendered: Rendered) -> Iterator[tuple[str, Resource]]:
    for target, resources in rendered.items():
        for resource in sorted(resources, key=lambda r: r.id):
            yield target, resource


def _as_json(environment: Environment, target: str, resource: Resource) -> dict[str, Any]:
    return {
        "scope": f"{environment.name}/{target}",
        "id": str(resource.id),
        "source": str(resource.span),
        "spec": resource.spec,
    }


def _summarise(environment: Environment, rendered: Rendered) -> None:
    print(f"{environment.name} (project {environment.project})")
    for target, resources in rendered.items():
        kinds: dict[str, int] = {}
        for resource in resources:
            kinds[resource.id.kind] = kinds.get(resource.id.kind, 0) + 1
        text = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        print(f"  {target:<12}{len(resources):>5} resources: {text}")


def _write(rendered: Rendered, folder: Path) -> None:
    for target, resource in _each(rendered):
        content = resource.spec.get("content")
        name = str(resource.id.name).replace("..", "_")
        path = folder / target / name
        if resource.payload is not None:
            data = resource.payload
        elif isinstance(content, str):
            data = content.encode()
        else:
            path = folder / target / resource.id.kind / f"{name}.json"
            data = (json.dumps(resource.spec, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _compare(session: Session, one: Environment, other: Environment, given: argparse.Namespace) -> Iterator[Difference]:
    left, right = _selected(session, one, given), _selected(session, other, given)
    for target in left:
        mine = {resource.id: resource for resource in left[target]}
        theirs = {resource.id: resource for resource in right.get(target, ())}
        for identity in sorted(mine.keys() | theirs.keys()):
            if identity not in theirs:
                yield Difference(f"{target}/{identity}", None, one.name)
            elif identity not in mine:
                yield Difference(f"{target}/{identity}", other.name, None)
            elif found := diff.fields(dict(theirs[identity].spec), dict(mine[identity].spec)):
                yield Difference(f"{target}/{identity}", other.name, one.name, found)
