"""Where things stand in git: the line that a resource is made of with its last author, and the lines of its values.

A value is looked for where it may come from: in the file of the resource and in its environment's, whole or as a word
inside a longer text. What is computed (an address out of a prefix) has no line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reconcilers.core.errors import MlabError
from reconcilers.core.model import Resource, Span
from reconcilers.fleet.model import Environment
from reconcilers.load import parse, worktree
from reconcilers.load.document import Document

LONGEST = 24
"""As many values are listed."""
_TELLING = 6
"""Shorter texts, and numbers, agree by chance: they count only under the same key."""
_SHOWN = 80
_OF_ENVIRONMENT = (
    *("name", "project", "domain", "services_domain", "images_version", "control_plane"),
    *("monitoring", "zones"),
)
"""What of an environment's file goes into resources; the rest says where targets are and what is permitted."""

Path_ = tuple[str | int, ...]


def line(root: Path, span: Span) -> Iterator[str]:
    """The place, what stands there, and which commit last touched that line."""
    yield str(span)
    path = root / span.file
    if not span.line or not path.is_file():
        return
    lines = path.read_text(errors="replace").splitlines()
    if span.line <= len(lines):
        yield lines[span.line - 1].strip()[:_SHOWN]
    try:
        words = ("blame", "--porcelain", "-L", f"{span.line},{span.line}", "--", span.file)
        told = worktree.git(root, *words).decode(errors="replace")
    except MlabError:
        return
    facts = dict(entry.partition(" ")[::2] for entry in told.splitlines()[1:] if not entry.startswith("\t"))
    sha = told.partition(" ")[0]
    if set(sha) == {"0"}:
        yield "not committed yet"
    else:
        yield f"{sha[:7]} by {facts.get('author', '?')}: {facts.get('summary', '')[:_SHOWN]}"


def values(root: Path, resource: Resource, environment: Environment) -> Iterator[str]:
    """`PATH = VALUE   FILE:LINE:COLUMN` for each value of the resource that stands in one of its files."""
    known: dict[Any, tuple[Path_, Span]] = {}
    for file in dict.fromkeys(file for file in (resource.span.file, environment.span.file) if file.endswith(".yaml")):
        document = _read(root, file)
        if document is None:
            continue
        for path, value in _leaves(document.value):
            if file == environment.span.file and path[0] not in _OF_ENVIRONMENT:
                continue
            known.setdefault(value, (path, document.span(path)))
    told = 0
    for path, value in _leaves(resource.spec):
        if any(path[: len(hidden)] == tuple(hidden) for hidden in resource.sensitive):
            continue
        found = _origin(path, value, known)
        if found is None:
            continue
        if told == LONGEST:
            yield "…"
            return
        told += 1
        yield f"{_dotted(path)} = {str(value)[:_SHOWN]}   {_dotted(found[0])} at {found[1]}"


def _origin(path: Path_, value: Any, known: Mapping[Any, tuple[Path_, Span]]) -> tuple[Path_, Span] | None:
    if value in known:
        found = known[value]
        telling = isinstance(value, str) and (len(value) >= _TELLING or found[0] == ("name",))
        return found if telling or _key(path) == _key(found[0]) else None
    if not isinstance(value, str):
        return None
    inside = [word for word in known if isinstance(word, str) and len(word) >= _TELLING and _holds(value, word)]
    return known[max(inside, key=len)] if inside else None


def _key(path: Path_) -> str:
    return next((step.lower() for step in reversed(path) if isinstance(step, str)), "")


def _dotted(path: Path_) -> str:
    return ".".join(map(str, path))


def _holds(text: str, word: str) -> bool:
    return word in text and re.search(rf"(?<![\w]){re.escape(word)}(?![\w])", text) is not None


def _read(root: Path, file: str) -> Document | None:
    try:
        document, _ = parse.parse((root / file).read_bytes(), file)
    except OSError:
        return None
    return document


def _leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*path, number))
    elif not isinstance(value, bool) and value is not None:
        yield path, value
