"""`--target` and `--exclude`: each a target, or resources as `target/kind/name`, with globs."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence

from reconcilers.core.errors import UsageError
from reconcilers.core.part import Part
from reconcilers.fleet.model import Environment
from reconcilers.providers import targets


def chosen(environment: Environment, wanted: Sequence[str], excluded: Sequence[str]) -> Mapping[str, Part]:
    """The targets of a run in their order. Raises `UsageError` where a glob matches no target, or none is left."""
    available = [name for name in targets.NAMES if name in environment.data["targets"]]
    return among(environment.name, available, wanted, excluded)


def among(env: str, available: Sequence[str], wanted: Sequence[str], excluded: Sequence[str]) -> Mapping[str, Part]:
    """The same for the targets of an environment that is known by name only."""
    only = _globs(env, available, "--target", wanted) if wanted else dict.fromkeys(available, ())
    without = _globs(env, available, "--exclude", excluded)
    left = {name: Part(only[name], without.get(name, ())) for name in available if name in only}
    left = {name: part for name, part in left.items() if name not in without or part.without}
    if not left:
        raise UsageError(f"--exclude {' '.join(excluded)}: no target of {env} is left")
    return left


def _globs(env: str, available: Sequence[str], flag: str, given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Globs by target; an empty tuple stands for the whole target."""
    found: dict[str, tuple[str, ...]] = {}
    for glob in given:
        target, _, inside = glob.partition("/")
        matching = list(_matching(available, target))
        if not matching:
            raise UsageError(f"{flag} {glob}: no target matches in {env}; known: {', '.join(available)}")
        for name in matching:
            whole = not inside or found.get(name) == ()
            found[name] = () if whole else (*found.get(name, ()), f"{name}/{inside}")
    return found


def _matching(available: Sequence[str], glob: str) -> Iterator[str]:
    return (name for name in available if fnmatch.fnmatchcase(name, glob))
