"""What a commit wants, kept between runs: a commit never changes, so neither does what this program renders of it.

The key is the commit's own trees (not its name: two commits with the same configuration are one), this program's
sources and the engines under it. Contents of published files lie beside, each under its digest, and are read only where
somebody compares them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

import reconcilers
from reconcilers.core.model import Id, Resource, Span
from reconcilers.load.cache import Cache

FORM = "3"
Wanted = Mapping[str, tuple[Resource, ...]]
"""Resources by target."""


@lru_cache(maxsize=1)
def program() -> str:
    """The digest of everything that renders: this program's files and the packages that it may use.

    Its templates too: a configuration that has none of its own is rendered with them.
    """
    digest = hashlib.sha256(FORM.encode())
    package = Path(reconcilers.__file__).parent
    beside = [path for name in ("schemas", "jsonnet") for path in (package.parent / name).rglob("*.*")]
    for path in sorted((*package.rglob("*.py"), *beside)):
        digest.update(f"{path.relative_to(package.parent)}\0".encode() + path.read_bytes())
    digest.update("\n".join(f"{name} {version(name)}" for name in _ENGINES).encode())
    return digest.hexdigest()


_ENGINES = ("jsonschema-rs", "msgspec", "pyyaml", "rjsonnet")


class Kept:
    """Rendered environments of one state of the configuration; `trees` names it. Without a cache nothing is kept."""

    def __init__(self, cache: Cache | None, trees: Sequence[str]) -> None:
        self._cache = cache
        self._key = hashlib.sha256("\n".join((program(), *trees)).encode()).hexdigest()

    def names(self) -> tuple[str, ...] | None:
        """The environments of that state, if they are known."""
        found = self._get("names")
        return None if found is None else tuple(found)

    def put_names(self, names: Iterable[str]) -> None:
        self._put("names", list(names))

    def wanted(self, env: str) -> Wanted | None:
        """What one environment wants, as `render.all.desired` had it."""
        found = self._get(f"wanted {env}")
        if found is None or self._cache is None:
            return None
        wanted = {target: _built(self._cache, digest) for target, digest in found.items()}
        complete = {target: resources for target, resources in wanted.items() if resources is not None}
        return complete if len(complete) == len(wanted) else None

    def put_wanted(self, env: str, wanted: Wanted) -> Wanted:
        """Keep it, and return it: with the very values of another state that wants the same of a target."""
        if self._cache is None:
            return wanted
        digests = {target: _put_resources(self._cache, resources) for target, resources in wanted.items()}
        self._put(f"wanted {env}", digests)
        return {target: _BUILT[digest] for target, digest in digests.items()}

    def _get(self, what: str) -> Any:
        text = self._cache.get(self._name(what)) if self._cache is not None else None
        return None if text is None else msgspec.json.decode(text)

    def _put(self, what: str, value: Any) -> None:
        if self._cache is not None:
            self._cache.put(self._name(what), msgspec.json.encode(value).decode())

    def _name(self, what: str) -> str:
        return hashlib.sha256(f"{self._key}\n{what}".encode()).hexdigest()


_BUILT: dict[str, tuple[Resource, ...]] = {}
"""By digest: two commits that want the same of a target have the very same values, which need not be compared."""


def _built(cache: Cache, digest: str) -> tuple[Resource, ...] | None:
    if digest not in _BUILT:
        text = cache.get(digest)
        if text is None:
            return None
        _BUILT[digest] = tuple(map(_resource, _decode(text)))
    return _BUILT[digest]


_Path = list[str | int]
_Entry = tuple[str, str, dict[str, Any], str, int, int, bool, list[_Path]]
"""Kind and name, fields, file with line and column, whether it is protected, and which paths are sensitive."""
_decode = msgspec.json.Decoder(list[_Entry]).decode


def _resource(entry: _Entry) -> Resource:
    kind, name, spec, file, line, column, protect, sensitive = entry
    hidden = frozenset(map(tuple, sensitive)) if sensitive else _NONE
    return Resource(Id(kind, name), spec, Span(file, line, column), protect=protect, sensitive=hidden)


_NONE: frozenset[tuple[str | int, ...]] = frozenset()


def _entry(resource: Resource) -> tuple[Any, ...]:
    span, sensitive = resource.span, sorted(map(list, resource.sensitive)) if resource.sensitive else []
    kind, name = resource.id.kind, resource.id.name
    return kind, name, resource.spec, span.file, span.line, span.column, resource.protect, sensitive


def _put_resources(cache: Cache, resources: Sequence[Resource]) -> str:
    """Keep what is wanted of a target, with the contents of its files, under the digest of it all."""
    for resource in resources:
        if resource.payload is not None:
            _put_text(cache, resource.payload.decode(errors="replace"), hashlib.sha256(resource.payload).hexdigest())
    digest = _put_text(cache, msgspec.json.encode(list(map(_entry, resources))).decode())
    _BUILT.setdefault(digest, tuple(resources))
    return digest


def payload(cache: Cache | None, resource: Resource) -> str | None:
    """The content of a published file as text: the resource's own, or what was kept under its digest."""
    if resource.payload is not None:
        return resource.payload.decode(errors="replace")
    digest = resource.spec.get("sha256")
    return cache.get(str(digest)) if cache is not None and digest else None


def _put_text(cache: Cache, text: str, key: str = "") -> str:
    """Keep a text under the digest of its content, and return that."""
    key = key or hashlib.sha256(text.encode()).hexdigest()
    if not cache.has(key):
        cache.put(key, text)
    return key
