"""The files that the fleet publishes for programs that never read `config/`: inventory, zones, targets, embargo rules.

Paths and shapes are those of the public platform (siteinfo's `v1/` and `v2/`, the target files of its monitoring),
because unmodified clients read them; `docs/differences.md` lists where ours differ. The content is made in the
`inventory…`, `zones` and `targets` modules of this package.

Bytes are stable: keys sorted, one line an element, a whole number written without a fraction, no time of day. Each set
has an `index.json` with the digest of every file; it is written after them, so a reader who follows it and compares
digests never takes half of an old set for the new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from reconcilers.fleet import (
    derive,
    index_page,
    inventory,
    inventory_places,
    inventory_sites,
    kernel,
    target_files,
    zone_file,
    zones,
)
from reconcilers.fleet.memo import OfFleet
from reconcilers.fleet.model import Environment, Fleet

INDEX = "index.json"
EMBARGO = "embargo/rules.json"
SITEINFO, OPERATOR = "siteinfo-{project}", "operator-{project}"
"""The buckets: of the inventory, which everybody may read, and of what is made for the platform's own programs."""

Content = Mapping[str, Any] | Sequence[Any]


@dataclass(frozen=True, slots=True)
class File:
    """One published file; `sha256` is the hex digest of `data`."""

    path: str
    data: bytes
    sha256: str

    @property
    def content_type(self) -> str:
        """What a browser is told that it is."""
        return _CONTENT_TYPES[self.path.rpartition(".")[2]]


_CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "zone": "text/dns; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files that belong together, by path; `index` comes last. `bucket` and `source` say where to and what from."""

    name: str
    bucket: str
    source: str
    files: tuple[File, ...]
    index: File


def sets(fleet: Fleet, environment: Environment) -> tuple[FileSet, ...]:
    """Everything that one environment publishes, as sets with an index each."""
    return _SETS(fleet, environment)


def _sets(fleet: Fleet, environment: Environment) -> tuple[FileSet, ...]:
    inventory_files = _INVENTORY(fleet, (environment.domain, environment.services_domain))
    made = []
    for version in ("v1", "v2"):
        files = [file for file in inventory_files if file.path.startswith(version)]
        files += _zone_files(fleet, environment) if version == "v2" else [_file("v1/zones/placeholder.zone", _NO_ZONE)]
        page = index_page.text(version, [file.path for file in files]).encode()
        made.append(_file_set(version, SITEINFO, "config/sites/", [*files, _file(f"{version}/index.html", page)]))
    rules = _indented(embargo_rules(fleet, environment))
    made.append(_file_set("embargo", SITEINFO, "config/embargo/", [_file(EMBARGO, rules)]))
    targets = target_files.contents(fleet, environment.project, environment.domain)
    made.append(
        _file_set(
            "prometheus",
            OPERATOR,
            "config/sites/",
            [_file(f"prometheus/{path}", encode(records)) for path, records in targets.items()],
        )
    )
    return tuple(made)


_NO_ZONE = b"; Only v2 has zones.\n"
_SETS = OfFleet(_sets)


def _inventory(fleet: Fleet, domains: tuple[str, str]) -> tuple[File, ...]:
    """Every JSON file of the inventory: it describes the whole fleet, whichever environment asks."""
    domain, services_domain = domains
    derived, gone = derive.under(fleet, domain), derive.retired(fleet, domain)
    sites = tuple(derive.published_sites(fleet))
    physical = [site for site in sites if site.type == "physical"]
    makers: dict[str, Callable[[], Content]] = {
        "v1/adhoc/placeholder": dict,
        "v1/retired/annotations": lambda: inventory_places.site_annotations(derive.retired_sites(fleet), gone),
        "v1/sites/annotations": lambda: inventory_places.site_annotations(sites, derived),
        "v1/sites/geo": lambda: inventory_places.geo_v1(fleet, derived),
        "v1/sites/hostnames": lambda: inventory.hostnames_v1(derived, domain),
        "v1/sites/locations": lambda: inventory_places.locations(sites),
        "v1/sites/sites": lambda: inventory_sites.sites(fleet, domain, "v1"),
        "v1/sites/switches": lambda: inventory_places.switches(sites),
        "v2/adhoc/placeholder": dict,
        "v2/retired/sites": lambda: inventory_sites.retired(fleet, domain),
        "v2/sites/annotations": lambda: inventory.server_annotations(fleet, derived),
        "v2/sites/donated": lambda: inventory_places.donated(sites),
        "v2/sites/geo": lambda: inventory_places.geo(fleet, derived),
        "v2/sites/geo-by-site": lambda: inventory_places.geo_by_site(fleet, derived),
        "v2/sites/hostnames": lambda: inventory.hostnames(derived),
        "v2/sites/kernel-parameters": lambda: kernel.command_lines(fleet, domain, services_domain),
        "v2/sites/locations-physical": lambda: inventory_places.locations(physical),
        "v2/sites/machines": lambda: inventory.machines(derived),
        "v2/sites/max-rates": lambda: inventory_places.max_rates(sites),
        "v2/sites/projects": lambda: inventory.projects(derived),
        "v2/sites/registration": lambda: inventory.registration(fleet, derived),
        "v2/sites/site-machines": lambda: inventory_places.site_machines(derived),
        "v2/sites/sites": lambda: inventory_sites.sites(fleet, domain),
        "v2/sites/sites-by-index": lambda: inventory_sites.sites(fleet, domain, by_index=True),
    }
    return tuple(_file(f"{path}.json", encode(make())) for path, make in makers.items())


_INVENTORY = OfFleet(_inventory)


def _zone_files(fleet: Fleet, environment: Environment) -> list[File]:
    made = zones.zones(fleet, environment)
    return [_file(f"v2/zones/{zone.domain}.zone", zone_file.text(zone).encode()) for zone in made]


def _file(path: str, data: bytes) -> File:
    return File(path, data, hashlib.sha256(data).hexdigest())


def _file_set(name: str, bucket: str, source: str, files: Sequence[File]) -> FileSet:
    ordered = tuple(sorted(files, key=lambda file: file.path))
    listed = [
        {"path": file.path, "sha256": file.sha256, "size": len(file.data), "version": file.sha256[:16]}
        for file in ordered
    ]
    version = hashlib.sha256("".join(f"{file.path} {file.sha256}\n" for file in ordered).encode()).hexdigest()[:16]
    index = _indented({"v": 1, "set": name, "version": version, "files": listed})
    return FileSet(name, bucket, source, ordered, _file(f"{name}/{INDEX}", index))


_encode = msgspec.json.Encoder(order="sorted").encode


def encode(value: Content) -> bytes:
    """JSON with one line for each element of the outermost list or map, so that a change shows as lines.

    The objects in a list that a map holds (the features of a GeoJSON collection) have a line each, too.
    """
    if not isinstance(value, Mapping):
        return _lines(b"[", map(_encode, value), b"]") + b"\n"
    return _lines(b"{", (_encode(key) + b": " + _element(value[key]) for key in sorted(value)), b"}") + b"\n"


def _element(value: Any) -> bytes:
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return _lines(b"[", map(_encode, value), b"]")
    return _encode(value)


def _lines(start: bytes, elements: Iterable[bytes], end: bytes) -> bytes:
    joined = b",\n".join(elements)
    return start + b"\n" + joined + b"\n" + end if joined else start + end


def _indented(value: Content) -> bytes:
    return msgspec.json.format(_encode(value), indent=2) + b"\n"


def embargo_by_name(data: bytes) -> dict[str, Any]:
    """The rules of a published file by name, as fields that a plan compares. A text that is none holds nothing back."""
    try:
        return {str(rule["name"]): dict(rule) for rule in msgspec.json.decode(data)["rules"]}
    except (ValueError, KeyError, TypeError):
        return {}


def embargo_rules(fleet: Fleet, environment: Environment) -> dict[str, Any]:
    """`embargo/rules.json`: every rule, lifted ones too (they explain what is public), `{project}` filled in."""
    rules = [
        {
            key: fill(value, environment.project)
            for key, value in fleet.embargo[name].data.items()
            if key not in ("kind", "allow")
        }
        for name in sorted(fleet.embargo)
    ]
    return {"rules": rules, "v": 1}


_SHARED = {
    "embargo/rules.json": "embargo-rules",
    "v1/adhoc/placeholder.json": "placeholder",
    "v1/retired/annotations.json": "v1-sites-annotations",
    "v1/sites/hostnames.json": "v2-sites-hostnames",
    "v1/sites/sites.json": "v2-sites-sites",
    "v2/adhoc/placeholder.json": "placeholder",
    "v2/retired/sites.json": "v2-sites-sites",
    "v2/sites/locations-physical.json": "v1-sites-locations",
    "v2/sites/sites-by-index.json": "v2-sites-sites",
}


def schema_of(path: str) -> str | None:
    """The name below `schemas/published/` of the schema that a file fits; None for a page or a zone."""
    if not path.endswith(".json"):
        return None
    if path.endswith(f"/{INDEX}"):
        return "index"
    if path.startswith("prometheus/"):
        return "prometheus-targets"
    return _SHARED.get(path) or path.removesuffix(".json").replace("/", "-")


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
