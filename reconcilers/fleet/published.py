"""The files that the fleet publishes for programs that never read `config/`: site inventory and embargo rules.

Names and shapes are those of the public platform (siteinfo's `v2/sites/`), because unmodified clients read them; the
content is made in `inventory` and `inventory_sites`. Bytes are stable: keys sorted, one line an element, a whole number
written without a fraction. Each set has an `index.json` with the digest of every file; it is written after them, so a
reader who follows it and compares digests never takes half of an old set for the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconcilers.fleet import derive, inventory, inventory_sites
from reconcilers.fleet.memo import OfFleet
from reconcilers.fleet.model import Environment, Fleet

INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files that belong together: `files` maps a path to its text, `index_path` and `index` come last."""

    name: str
    files: Mapping[str, str]
    index_path: str
    index: str


def sets(fleet: Fleet, environment: Environment) -> tuple[FileSet, ...]:
    """Everything that one environment publishes, as sets with an index each."""
    rules = json.dumps(embargo_rules(fleet, environment), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return _INVENTORY(fleet, environment.domain), _file_set("embargo", {"embargo/rules.json": rules})


def _inventory(fleet: Fleet, domain: str) -> FileSet:
    derived = derive.under(fleet, domain)
    contents: dict[str, Mapping[str, Any] | Sequence[Any]] = {
        "annotations": inventory.server_annotations(fleet, derived),
        "hostnames": inventory.hostnames(derived),
        "machines": inventory.machines(derived),
        "projects": inventory.projects(derived),
        "registration": inventory.registration(fleet, derived),
        "sites": inventory_sites.sites(fleet, derived),
    }
    return _file_set("v2", {f"v2/sites/{name}.json": encode(content) for name, content in contents.items()})


_INVENTORY = OfFleet(_inventory)
"""The inventory describes the whole fleet, so all environments of one domain publish the same bytes."""


def _file_set(name: str, files: Mapping[str, str]) -> FileSet:
    listed = []
    for path in sorted(files):
        raw = files[path].encode()
        digest = hashlib.sha256(raw).hexdigest()
        listed.append({"path": path, "sha256": digest, "size": len(raw), "version": digest[:16]})
    version = hashlib.sha256("".join(f"{f['path']} {f['sha256']}\n" for f in listed).encode()).hexdigest()[:16]
    index = json.dumps({"v": 1, "set": name, "version": version, "files": listed}, indent=2, sort_keys=True) + "\n"
    return FileSet(name, dict(sorted(files.items())), f"{name}/{INDEX}", index)


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(", ", ": "), allow_nan=False).encode


def encode(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON with one line for each element of the outermost list or map, so that a change shows as lines.

    The C encoder does each line; `indent` would fall back to one in Python that takes seconds for the inventory.
    """
    if isinstance(value, Mapping):
        lines = [f"{_encode(key)}: {_encode(value[key])}" for key in sorted(value)]
        start, end = "{", "}"
    else:
        lines = [_encode(element) for element in value]
        start, end = "[", "]"
    if not lines:
        return f"{start}{end}\n"
    return f"{start}\n" + ",\n".join(lines) + f"\n{end}\n"


def embargo_rules(fleet: Fleet, environment: Environment) -> dict[str, Any]:
    """`embargo/rules.json`: every rule, lifted ones too (they explain what is public), `{project}` filled in."""
    rules = [
        {key: fill(value, environment.project) for key, value in fleet.embargo[name].data.items() if key != "kind"}
        for name in sorted(fleet.embargo)
    ]
    return {"rules": rules, "v": 1}


def fill(value: Any, project: str) -> Any:
    """A JSON value with `{project}` filled in, in every text; a whole number loses its fraction."""
    if isinstance(value, str):
        return value.replace("{project}", project)
    if isinstance(value, Mapping):
        return {key: fill(inner, project) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fill(inner, project) for inner in value]
    if isinstance(value, float):
        return inventory.number(value)
    return value
