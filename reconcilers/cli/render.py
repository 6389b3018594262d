"""`mlab render`: what git wants at each target, without credentials and without contacting anything."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reconcilers.cli import planning
from reconcilers.cli.exits import Exit
from reconcilers.cli.session import Session, open_session
from reconcilers.core import diff
from reconcilers.core.errors import UsageError
from reconcilers.core.model import Resource
from reconcilers.fleet.model import Environment
from reconcilers.report import values

Rendered = Mapping[str, tuple[Resource, ...]]


def run(given: argparse.Namespace) -> int:
    """Print resources as JSON lines or a summary, write them to a folder, or compare two environments."""
    session = open_session(given)
    environments = session.environments(given.env)
    if given.against:
        if len(environments) != 1:
            raise UsageError("--against compares two environments: name the other one with --env")
        return _compare(session, environments[0], session.environments([given.against])[0], given)
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
    chosen = planning.chosen_targets(environment, given.target)
    return session.render(environment, chosen)


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
        if isinstance(content, str):
            path = folder / target / name
            text = content
        else:
            path = folder / target / resource.id.kind / f"{name}.json"
            text = json.dumps(resource.spec, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _compare(session: Session, one: Environment, other: Environment, given: argparse.Namespace) -> int:
    left, right = _selected(session, one, given), _selected(session, other, given)
    for target in left:
        mine = {resource.id: resource for resource in left[target]}
        theirs = {resource.id: resource for resource in right.get(target, ())}
        for identity in sorted(mine.keys() | theirs.keys()):
            if identity not in theirs:
                print(f"{target}/{identity}: only in {one.name}")
            elif identity not in mine:
                print(f"{target}/{identity}: only in {other.name}")
            else:
                for found in diff.fields(dict(theirs[identity].spec), dict(mine[identity].spec)):
                    for line in values.lines(found):
                        print(f"{target}/{identity}: {line}")
    return Exit.OK
