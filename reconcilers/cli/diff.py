"""`mlab diff BASE..HEAD`: what commits change in what git wants at each target. Needs no credentials, asks nobody.

Both states are rendered by this program and compared as a plan compares git with a target, so that the risks, the
limits and the lines in git read the same. What the targets really hold is another question: `mlab plan`.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from reconcilers.cli import diff_sides, selection
from reconcilers.cli.diff_sides import State
from reconcilers.cli.exits import Exit
from reconcilers.cli.session import root_of
from reconcilers.core import cause, policy
from reconcilers.core import plan as planning
from reconcilers.core.errors import ConfigError, Temporary, UsageError
from reconcilers.core.model import Change, Field, Id, Observed, Owner, Plan, Resource
from reconcilers.core.part import Part
from reconcilers.fleet import permissions
from reconcilers.load import worktree
from reconcilers.load.cache import Cache
from reconcilers.providers import targets
from reconcilers.render import kept
from reconcilers.render.kept import Batch
from reconcilers.report import markdown, text
from reconcilers.report.run import VERSION, RunPlan, as_json

_SHOWN = 10
_INDEX = "/index.json"
"""What only lists digests of others: its lines say nothing more."""


def run(given: argparse.Namespace) -> int:
    """Exit 0 if nothing changes (or `--changes-ok`), 2 if something does, 4 if BASE cannot be rendered."""
    root = root_of(given)
    worktree.require(root)
    ends = worktree.parse_range(root, given.range or "HEAD")
    gc.disable()  # what is rendered lives to the end of this process, and looking for cycles in it takes longer
    cache = None if given.no_cache else Cache()
    with diff_sides.base_ahead(root, ends.base, cache, given.env):
        head = diff_sides.head(root, ends.head, cache, given.env)
    with _as_incomplete(ends):
        base = diff_sides.base(root, ends.base, cache, given.env)
    made = list(_compare(root, ends, base, head, cache, given))
    _keep(ends, made, given)
    if given.json or given.format == "json":
        print(json.dumps(_document(ends, made), indent=1, ensure_ascii=False))
    elif given.format == "markdown":
        print(markdown.difference(made, artifact=given.link))
    else:
        print("\n".join(text.difference(made, verbose=given.verbose)))
    changes = any(plan.changes for run in made for plan in run.plans)
    return Exit.CHANGES if changes and not given.changes_ok else Exit.OK


def _keep(ends: worktree.Range, made: Sequence[RunPlan], given: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    if not given.out and not given.markdown:
        return
    from reconcilers.cli import keeping

    if given.out:
        keeping.whole(Path(given.out), json.dumps(_document(ends, made), ensure_ascii=False))
    for path in given.markdown:
        keeping.added(Path(path), markdown.difference(made, artifact=given.link))


def _document(ends: worktree.Range, made: Sequence[RunPlan]) -> dict[str, Any]:
    return {
        "v": VERSION,
        "base": ends.base,
        "head": ends.head or None,
        "environments": [as_json(run) for run in made],
    }


@contextmanager
def _as_incomplete(ends: worktree.Range) -> Iterator[None]:
    """What an older commit holds is nobody's mistake now; but what is unknown must not read as unchanged."""
    try:
        yield
    except ConfigError as error:
        for problem in error.problems[:_SHOWN]:
            print(problem.line(), file=sys.stderr)
        raise Temporary(f"{ends.base[:12]} cannot be rendered by this program: nothing is compared") from error


def _compare(
    root: Path, ends: worktree.Range, base: State, head: State, cache: Cache | None, given: argparse.Namespace
) -> Iterator[RunPlan]:
    assert head.fleet is not None
    lines = worktree.changed_lines(root, ends.base, ends.head, diff_sides.FOLDERS)
    removed_in = functools.cache(partial(_removed_in, root, ends, lines))
    known = sorted(base.wanted.keys() | head.wanted.keys())
    missing = [name for name in given.env if name not in known]
    if missing:
        raise UsageError(f"--env {missing[0]}: no such environment in either commit; known: {', '.join(known)}")
    shown: set[tuple[str, str]] = set()
    for name in known:
        before, after = base.wanted.get(name, {}), head.wanted.get(name, {})
        parts = selection.among(name, sorted(before.keys() | after.keys()), given.target, given.exclude)
        plans = []
        for target, part in parts.items():
            scope = f"{name}/{target}"
            if part.whole and before.get(target) == after.get(target):
                plans.append(_unchanged(scope, after[target].kinds))
                continue
            previous, desired = (_chosen(side.get(target), target, part) for side in (before, after))
            observed = [Observed(r.id, _spec(r), _mark(name, scope, r)) for r in previous.values()]
            rules = planning.Rules(_spec, partial(targets.assess, target))
            plan = planning.make(scope, desired.values(), observed, rules)
            plan = cause.assign(plan, desired, cause.History(ends.base[:7], previous, lines, removed_in))
            changes = tuple(_with_content(change, previous, cache, shown) for change in plan.changes)
            plans.append(replace(plan, changes=changes))
        environment = head.fleet.environments.get(name)
        if environment is None:
            yield RunPlan(f"{ends.base}..{head.name}", name, "", head.name, ends.base, tuple(plans))
            continue
        limits, acks = permissions.limits(environment), permissions.acks(head.fleet)
        verdict = policy.check(plans, limits, acks, datetime.now(UTC).date())
        yield RunPlan(f"{ends.base}..{head.name}", name, environment.project, head.name, ends.base, verdict.plans)


def _unchanged(scope: str, kinds: Mapping[str, int]) -> Plan:
    return Plan(scope, unchanged=sum(kinds.values()), population=dict(sorted(kinds.items())))


def _chosen(batch: Batch | None, target: str, part: Part) -> dict[Id, Resource]:
    """The resources of a part, by id; none of a target that a side does not have."""
    resources = () if batch is None else batch.read()
    return {r.id: r for r in resources if part.whole or part.holds(f"{target}/{r.id}")}


def _with_content(
    change: Change, previous: Mapping[Id, Resource], cache: Cache | None, shown: set[tuple[str, str]]
) -> Change:
    """A published file is told by its digest; its lines are shown, once for all environments that publish the same."""
    former = previous.get(change.id)
    if former is None or change.desired is None or "sha256" not in former.spec or change.id.name.endswith(_INDEX):
        return change
    digests = str(former.spec["sha256"]), str(change.desired.spec.get("sha256"))
    if digests in shown:
        return change
    before, after = kept.payload(cache, former), kept.payload(cache, change.desired)
    if before is None or after is None:
        return change
    shown.add(digests)
    return replace(change, fields=(*change.fields, Field(("content",), before, after)))


def _spec(resource: Resource) -> Mapping[str, Any]:
    return {**resource.spec, "protect": True} if resource.protect else resource.spec


def _mark(env: str, scope: str, resource: Resource) -> Owner:
    return Owner(planning.OWNER, env, scope, resource.span.file)


def _removed_in(root: Path, ends: worktree.Range, lines: Mapping[str, int], file: str) -> str:
    return worktree.removed_in(root, file, ends.head) if lines.get(file) == 0 else ""
