"""The two states that `mlab diff` compares: a commit or the working tree, each with what it wants of every target.

What a commit wants is kept, so that the state which most diffs start from is rendered once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reconcilers.cli.session import count, jsonnet_root
from reconcilers.core.errors import ConfigError
from reconcilers.fleet.model import Fleet
from reconcilers.load import fleet as loading
from reconcilers.load import worktree
from reconcilers.load.cache import Cache
from reconcilers.load.jsonnet import Engine
from reconcilers.render import all as rendering
from reconcilers.render import kept

FOLDERS = ("config", "jsonnet", "schemas")
WORKING_TREE = "working tree"
Wanted = Mapping[str, kept.Wanted]
"""Batches of resources by environment and target."""


@dataclass(frozen=True, slots=True)
class State:
    """One state; `sha` is empty for the working tree, `fleet` is None where everything asked for was kept."""

    name: str
    wanted: Wanted
    fleet: Fleet | None


def head(root: Path, sha: str, cache: Cache | None, names: Collection[str]) -> State:
    """The newer state, loaded in any case: its limits and acknowledgements judge the difference."""
    with _tree(root, sha) as where:
        fleet = _load(where, sha, cache)
        store = kept.Kept(cache, worktree.trees(root, sha, FOLDERS)) if sha else kept.Kept(None, ())
        return State(sha or WORKING_TREE, _wanted(where, fleet, store, cache, names), fleet)


def base(root: Path, sha: str, cache: Cache | None, names: Collection[str]) -> State:
    """The older state; not even read where all that it wants was kept."""
    store = kept.Kept(cache, worktree.trees(root, sha, FOLDERS))
    complete = _all_kept(store, names)
    if complete is not None:
        return State(sha, complete, None)
    with _tree(root, sha) as where:
        fleet = _load(where, sha, cache, lenient=True)
        return State(sha, _wanted(where, fleet, store, cache, names), fleet)


def _all_kept(store: kept.Kept, names: Collection[str]) -> Wanted | None:
    known = store.names()
    if known is None:
        return None
    found = {name: store.wanted(name) for name in known if not names or name in names}
    complete = {name: wanted for name, wanted in found.items() if wanted is not None}
    return complete if len(complete) == len(found) else None


@contextmanager
def base_ahead(root: Path, sha: str, cache: Cache | None, names: Collection[str]) -> Iterator[None]:
    """Have the older state rendered and kept by a process of its own while the block deals with the newer one.

    Only that it is kept counts: what goes wrong there goes wrong again where the state is asked for, and is told then.
    """
    if cache is None or threading.active_count() > 1 or kept.Kept(cache, worktree.trees(root, sha, FOLDERS)).names():
        yield
        return
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            base(root, sha, cache, names)
        os._exit(0)
    try:
        yield
    finally:
        os.waitpid(child, 0)


@contextmanager
def _tree(root: Path, sha: str) -> Iterator[Path]:
    """A root that holds the state: the checkout itself where it does, or a folder that lives as long as this."""
    if not sha or _is_checked_out(root, sha):
        yield root
        return
    with TemporaryDirectory(prefix="mlab-diff-") as folder:
        yield worktree.export(root, sha, Path(folder), FOLDERS)


def _is_checked_out(root: Path, sha: str) -> bool:
    if sha != worktree.commit(root, "HEAD"):
        return False
    return not any(file.startswith(FOLDERS) for file in worktree.uncommitted(root).files)


def _load(where: Path, sha: str, cache: Cache | None, *, lenient: bool = False) -> Fleet:
    """The fleet of a state. A lenient reader takes an older one that breaks newer rules, if nothing is left out."""
    own = where / "schemas"
    schemas = own if own.is_dir() else loading.SCHEMAS
    loaded = loading.load(where, schemas=schemas, use_cache=cache is not None)
    read = {item.span.file for item in _objects(loaded.fleet)} if lenient else set()
    wrong = [problem for problem in loaded.problems if problem.span.file not in read]
    if wrong:
        raise ConfigError(f"{sha[:12] or WORKING_TREE}: {count(len(wrong))}", wrong)
    return loaded.fleet


def _objects(fleet: Fleet) -> Iterator[Any]:
    for part in dataclasses.fields(fleet):
        value = getattr(fleet, part.name)
        yield from value.values() if isinstance(value, Mapping) else [value] if hasattr(value, "span") else []


def _wanted(where: Path, fleet: Fleet, store: kept.Kept, cache: Cache | None, names: Collection[str]) -> Wanted:
    engine = Engine(jsonnet_root(where), cache, still=True)
    found: dict[str, kept.Wanted] = {}
    for name, environment in fleet.environments.items():
        if names and name not in names:
            continue
        wanted = store.wanted(name)
        if wanted is None:
            wanted = store.put_wanted(name, rendering.desired(fleet, environment, engine=engine))
        found[name] = wanted
    store.put_names(fleet.environments)
    return found
