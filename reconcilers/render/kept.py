"""What a commit wants, kept between runs: a commit never changes, so neither does what this program renders of it.

The key is the commit's own trees (not its name: two commits with the same configuration are one), this program's
sources and the engines under it. What it wants of a target lies beside under the digest of its own content, and so does
each published file: both are read only where somebody compares them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

import reconcilers
from reconcilers.core.model import Id, Resource, Span
from reconcilers.load.cache import Cache

FORM = "4"


@dataclass(frozen=True, slots=True)
class Batch:
    """What is wanted of one target: how many of each kind, and the resources, which `read` makes when asked.

    Equal digests are equal resources in all that a comparison of two commits shows.
    """

    digest: str
    kinds: Mapping[str, int] = field(compare=False)
    read: Callable[[], tuple[Resource, ...]] = field(compare=False)


Wanted = Mapping[str, Batch]
"""Batches by target."""


@lru_cache(maxsize=1)
def program() -> str:
    """The digest of everything that renders: this program's files and the packages that it may use.

    Its templates too: a configuration that has none of its own is rendered with them.
    """
    digest = hashlib.sha256(FORM.encode())
    package = Path(reconcilers.__file__).parent
    beside = [path for name in ("schemas", "jsonnet") for path in (package.parent / name).rglob("*.*")]
    # In a container image the compiled files are all there is.
    modules = [path for path in package.rglob("*.py*") if "__pycache__" not in path.parts]
    for path in sorted((*modules, *beside)):
        digest.update(f"{path.relative_to(package.parent)}\0".encode() + path.read_bytes())
    digest.update("\n".join(f"{name} {version(name)}" for name in _ENGINES).encode())
    return digest.hexdigest()


_ENGINES = ("jsonschema-rs", "msgspec", "pyyaml", "rjsonnet")


class Kept:
    """Rendered environments of one state of the configuration; `trees` names it. Without a cache nothing is kept."""

    def __init__(self, cache: Cache | None, trees: Sequence[str]) -> None:
        self._cache = cache
        self._there: set[str] = set()
        self._key = hashlib.sha256("\n".join((program(), *trees)).encode()).hexdigest()

    def names(self) -> tuple[str, ...] | None:
        """The environments of that state, if they are known."""
        found = self._get("names")
        return None if found is None else tuple(found)

    def put_names(self, names: Iterable[str]) -> None:
        self._put("names", list(names))

    def wanted(self, env: str) -> Wanted | None:
        """What one environment wants; None unless all of it is there."""
        found = self._get(f"wanted {env}")
        if found is None or self._cache is None:
            return None
        wanted: dict[str, Batch] = {}
        for target, (digest, kinds) in found.items():
            content = self._cache.content(digest)
            if content is None:
                return None
            wanted[target] = Batch(digest, kinds, partial(_decoded, content))
        return wanted

    def put_wanted(self, env: str, wanted: Mapping[str, Sequence[Resource]]) -> Wanted:
        """The same of what `render.all.desired` made, which is kept."""
        batches = {target: self._batch(tuple(resources)) for target, resources in wanted.items()}
        self._put(f"wanted {env}", {target: (batch.digest, batch.kinds) for target, batch in batches.items()})
        return batches

    def _batch(self, resources: tuple[Resource, ...]) -> Batch:
        """Keep the resources under the digest of it all, and the contents of published files each under its own."""
        content = _encode(list(map(_entry, resources)))
        digest = hashlib.sha256(content).hexdigest()
        self._put_content(digest, content)
        for resource in resources:
            if resource.payload is not None and "sha256" in resource.spec:
                self._put_content(str(resource.spec["sha256"]), resource.payload)
        return Batch(digest, Counter(resource.id.kind for resource in resources), lambda: resources)

    def _put_content(self, digest: str, content: bytes) -> None:
        """Keep what has this digest, once: environments publish the same files."""
        if self._cache is not None and digest not in self._there:
            self._there.add(digest)
            if self._cache.content(digest) is None:
                self._cache.put(digest, content)

    def _get(self, what: str) -> Any:
        text = self._cache.get(self._name(what)) if self._cache is not None else None
        return None if text is None else msgspec.json.decode(text)

    def _put(self, what: str, value: Any) -> None:
        if self._cache is not None:
            self._cache.put(self._name(what), msgspec.json.encode(value).decode())

    def _name(self, what: str) -> str:
        return hashlib.sha256(f"{self._key}\n{what}".encode()).hexdigest()


_Path = list[str | int]
_Entry = tuple[str, str, dict[str, Any], str, int, int, bool, list[_Path], tuple[str, str] | None]
"""Kind and name, fields, file with line and column, whether it is protected, which paths are sensitive, and of what
was renamed the former kind and name."""
_decode = msgspec.json.Decoder(list[_Entry]).decode
_encode = msgspec.json.Encoder().encode


def _decoded(content: bytes) -> tuple[Resource, ...]:
    return tuple(map(_resource, _decode(content)))


def _resource(entry: _Entry) -> Resource:
    kind, name, spec, file, line, column, protect, sensitive, moved = entry
    hidden = frozenset(map(tuple, sensitive)) if sensitive else _NONE
    former = None if moved is None else Id(*moved)
    span = Span(file, line, column)
    return Resource(Id(kind, name), spec, span, protect=protect, sensitive=hidden, moved_from=former)


_NONE: frozenset[tuple[str | int, ...]] = frozenset()


def _entry(resource: Resource) -> tuple[Any, ...]:
    identity, span, former = resource.id, resource.span, resource.moved_from
    sensitive = sorted(map(list, resource.sensitive)) if resource.sensitive else ()
    moved = None if former is None else (former.kind, former.name)
    place = span.file, span.line, span.column
    return identity.kind, identity.name, resource.spec, *place, resource.protect, sensitive, moved


def payload(cache: Cache | None, resource: Resource) -> str | None:
    """The content of a published file as text: the resource's own, or what was kept under its digest."""
    content, digest = resource.payload, resource.spec.get("sha256")
    if content is None and cache is not None and digest:
        content = cache.content(str(digest))
    return None if content is None else content.decode(errors="replace")
