"""Makes the judged plan of one environment: render, observe, compare, find causes, apply limits."""

from __future__ import annotations

import argparse
import fnmatch
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from reconcilers.cli.session import Session, jsonnet_root
from reconcilers.core import cause, engine, policy
from reconcilers.core.errors import MlabError, UsageError
from reconcilers.core.model import Id, Plan, Resource
from reconcilers.core.retry import Policy
from reconcilers.fleet import permissions
from reconcilers.fleet.model import Environment
from reconcilers.load import fleet as loading
from reconcilers.load.history import Repository, open_history
from reconcilers.providers import targets
from reconcilers.report.run import RunPlan

UNVERSIONED = "unversioned"
"""The commit of a root without git history."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A judged plan together with what an apply needs to carry it out."""

    made: RunPlan
    works: tuple[engine.Work, ...]
    history: Repository | None
    record: Mapping[str, Any] | None
    record_error: str


def run_id() -> str:
    """Time and chance: `2026-03-01T10:00:00Z-7f3a9c`."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(3)}"


def chosen_targets(environment: Environment, globs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The targets that a run touches, each with globs on its resources (none: all of them)."""
    available = [name for name in targets.NAMES if name in environment.data["targets"]]
    if not globs:
        return dict.fromkeys(available, ())
    found: dict[str, tuple[str, ...]] = {}
    for glob in globs:
        wanted, _, inside = glob.partition("/")
        matching = [name for name in available if fnmatch.fnmatchcase(name, wanted)]
        if not matching:
            raise UsageError(f"--target {glob}: no target matches in {environment.name}; known: {', '.join(available)}")
        for name in matching:
            whole = not inside or found.get(name) == ()
            found[name] = () if whole else (*found.get(name, ()), f"{name}/{inside}")
    return {name: found[name] for name in available if name in found}


def retry_policy(given: argparse.Namespace) -> Policy:
    """Back-off with the run's deadline."""
    base = Policy()
    return replace(base, deadline=base.clock() + given.timeout)


def make(session: Session, environment: Environment, given: argparse.Namespace, stack: ExitStack) -> Planned:
    """Plan one environment; providers stay open until `stack` is left."""
    from reconcilers.providers.records import Records

    chosen = chosen_targets(environment, given.target)
    with ThreadPoolExecutor(1, thread_name_prefix="record") as side:
        reading = side.submit(_read_record, Records(environment), environment.name)
        desired = session.render(environment, chosen)
        works = []
        for target, only in chosen.items():
            provider = targets.connect(target, environment)
            stack.callback(provider.close)
            works.append(engine.Work(provider, desired[target], only=only))
        plans = engine.observe_all(works, replace(retry_policy(given), tries=2))
        record, record_error = reading.result()
    history = open_history(session.root)
    if any(plan.changes for plan in plans):
        plans = explain(session, environment, plans, {w.scope: w.desired for w in works}, history, record)
    verdict = policy.check(plans, permissions.limits(environment), permissions.acks(session.fleet), _today())
    made = RunPlan(
        run=run_id(),
        env=environment.name,
        project=environment.project,
        commit=_commit(history),
        base=str(record["commit"]) if record else "",
        plans=verdict.plans,
        warnings=_of_interest(verdict.warnings, plans, partial=bool(given.target)),
    )
    return Planned(made, tuple(works), history, record, record_error)


def _today() -> date:
    return datetime.now(UTC).date()


def _of_interest(warnings: Sequence[str], plans: Sequence[Plan], *, partial: bool) -> tuple[str, ...]:
    # An acknowledgement is meant for one environment and often for one target: that another run does not use it is
    # no news. Only an expired one always is.
    incomplete = any(not plan.complete for plan in plans)
    return tuple(w for w in warnings if "expired" in w or not (partial or incomplete))


def _commit(history: Repository | None) -> str:
    if history is None:
        return UNVERSIONED
    return history.head().sha + ("+dirty" if history.dirty() else "")


def _read_record(records: Any, env: str) -> tuple[Mapping[str, Any] | None, str]:
    try:
        return records.read_applied(env)[0], ""
    except MlabError as error:
        return None, str(error)


def explain(
    session: Session,
    environment: Environment,
    plans: Sequence[Plan],
    desired: Mapping[str, Sequence[Resource]],
    history: Repository | None,
    record: Mapping[str, Any] | None,
) -> list[Plan]:
    """The plans with causes, as far as the record and the history reach."""
    bases: dict[str, dict[str, dict[Id, Resource]]] = {}
    explained = []
    for plan in plans:
        base = base_of(plan.scope, record)
        wanted = {resource.id: resource for resource in desired[plan.scope]}
        known: cause.History | None = None
        if plan.changes and base and history is not None and history.has(base):
            if base not in bases:
                bases[base] = rendered_at(session, environment, history, base)
            previous = bases[base].get(plan.scope)
            if previous is not None:
                known = cause.History(history.short(base), previous, history.changed(base), history.removed_in)
        explained.append(cause.assign(plan, wanted, known))
    return explained


def base_of(scope: str, record: Mapping[str, Any] | None) -> str:
    """The commit that was last applied to a scope; empty where none is on record."""
    scopes = record.get("scopes", {}) if record else {}
    return str(scopes.get(scope, {}).get("commit", ""))


def rendered_at(
    session: Session, environment: Environment, history: Repository, base: str
) -> dict[str, dict[Id, Resource]]:
    """What git wanted at a former commit, by scope; empty if that commit does not render with this program."""
    with tempfile.TemporaryDirectory(prefix="mlab-base-") as folder:
        root = history.export(base, Path(folder))
        if not (root / "config").is_dir():
            return {}
        try:
            loaded = loading.load(root, overlay=session.overlay)
            former = replace(session, root=root if (root / "jsonnet").is_dir() else session.root, fleet=loaded.fleet)
            if environment.name not in loaded.fleet.environments or not jsonnet_root(root).is_dir():
                return {}
            rendered = former.render(loaded.fleet.environments[environment.name])
        except MlabError:
            return {}
    return {
        f"{environment.name}/{target}": {resource.id: resource for resource in resources}
        for target, resources in rendered.items()
    }
