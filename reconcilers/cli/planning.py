"""Makes the judged plan of one environment: render, observe, compare, find causes, apply limits."""

from __future__ import annotations

import argparse
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from msgspec import structs

from reconcilers.cli import recorded, selection
from reconcilers.cli.recorded import Recorded
from reconcilers.cli.session import Session, jsonnet_root
from reconcilers.core import cause, engine, policy
from reconcilers.core.errors import MlabError
from reconcilers.core.model import Action, Id, Plan, Resource
from reconcilers.core.part import Part
from reconcilers.core.retry import Policy
from reconcilers.fleet import permissions
from reconcilers.fleet.model import Environment
from reconcilers.load import ack_file, worktree
from reconcilers.load import fleet as loading
from reconcilers.load.history import Repository, open_history
from reconcilers.providers import secrets as secret_refs
from reconcilers.providers import targets
from reconcilers.render import ownership
from reconcilers.report.run import RunPlan

UNVERSIONED = "unversioned"
"""The commit of a root without git history."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A judged plan together with what an apply needs to carry it out."""

    made: RunPlan
    works: tuple[engine.Work, ...]
    history: Repository | None
    known: Recorded


def run_id() -> str:
    """Time and chance: `2026-03-01T10:00:00Z-7f3a9c`."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(3)}"


def retry_policy(given: argparse.Namespace) -> Policy:
    """Back-off with the run's deadline."""
    base = Policy()
    return replace(base, deadline=base.clock() + given.timeout)


def make(
    session: Session,
    environment: Environment,
    given: argparse.Namespace,
    stack: ExitStack,
    *,
    claim: Action | None = None,
) -> Planned:
    """Plan one environment; providers stay open until `stack` is left.

    With `claim`, what is chosen is adopted where it bears no mark, or forgotten (`ADOPT`, `FORGET`).
    """
    chosen = selection.chosen(environment, given.target, given.exclude)
    extra = [permissions.ack(ack_file.read(Path(path))) for path in given.ack]
    with ThreadPoolExecutor(1, thread_name_prefix="record") as side:
        reading = side.submit(recorded.read, environment, chosen, given.timeout)
        desired = session.render(environment, chosen)
        if claim is Action.ADOPT:
            desired = {target: _asked_for(target, resources, chosen) for target, resources in desired.items()}
        known = reading.result()
        paused = {target: known.paused(environment, target) for target in chosen}
        works = [
            replace(
                work(environment, target, desired[target], part, given.timeout, stack, paused[target]),
                forget=claim is Action.FORGET,
            )
            for target, part in chosen.items()
        ]
        plans = engine.observe_all(works, replace(retry_policy(given), tries=2), session.bugs)
    history = open_history(session.checkout)
    if claim is not Action.FORGET and any(plan.changes for plan in plans):
        plans = explain(session, environment, plans, {w.scope: w.desired for w in works}, history, known)
    acks = [*permissions.acks(session.fleet), *extra]
    verdict = policy.check(plans, permissions.limits(environment), acks, _today())
    made = RunPlan(
        run=run_id(),
        env=environment.name,
        project=environment.project,
        commit=session.at or _commit(history),
        base=str(known.applied["commit"]) if known.applied else "",
        base_unreadable=bool(known.applied_error),
        plans=tuple(_within_mode(environment, plan) for plan in verdict.plans),
        warnings=(
            *_of_interest(verdict.warnings, plans, partial=bool(given.target or given.exclude)),
            *(f"{ack.file}: not in git: it holds for this run only, and the record names it" for ack in extra),
            *ownership.stale(environment, desired),
            *(note for note in session.notes if note.startswith(f"{environment.span.file}:")),
            *known.unreadable(),
        ),
    )
    return Planned(made, tuple(works), history, known)


def work(
    environment: Environment,
    target: str,
    desired: Sequence[Resource],
    part: Part,
    timeout_s: float,
    stack: ExitStack,
    paused: str = "",
) -> engine.Work:
    """One scope of a run; its provider is closed when `stack` is left. No secret of a paused one is looked for."""
    provider = targets.connect(target, environment, timeout_s)
    stack.callback(provider.close)
    key = b"" if paused else _key(environment)
    return engine.Work(provider, tuple(desired), part=part, paused=paused, key=key)


def _key(environment: Environment) -> bytes:
    """The key of digests of sensitive values: the same for those who plan, review and apply an environment."""
    reference = environment.data.get("sensitive_key")
    return secret_refs.resolve(reference).reveal().encode() if reference else b""


def _within_mode(environment: Environment, plan: Plan) -> Plan:
    """A scope whose mode is `plan` shows its changes and is refused if it has any."""
    mode, where = permissions.mode(environment, plan.scope.partition("/")[2])
    if mode != "plan" or not plan.changes:
        return plan
    line = f"{plan.scope}: its mode is `plan` ({where}): nothing is written there until it is `apply`"
    return replace(plan, refused=(*plan.refused, line))


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


def _asked_for(target: str, resources: Sequence[Resource], chosen: Mapping[str, Part]) -> tuple[Resource, ...]:
    part = chosen[target]
    return tuple(structs.replace(r, adopt=True) if part.holds(f"{target}/{r.id}") else r for r in resources)


def explain(
    session: Session,
    environment: Environment,
    plans: Sequence[Plan],
    desired: Mapping[str, Sequence[Resource]],
    history: Repository | None,
    told: Recorded,
) -> list[Plan]:
    """The plans with causes, as far as the record and the history reach."""
    record = told.applied
    no_base = cause.UNREADABLE if told.applied_error else cause.NO_RECORD
    bases: dict[str, dict[str, dict[Id, Resource]]] = {}
    targets_of: dict[str, list[str]] = {}
    for plan in plans:
        if plan.changes:
            targets_of.setdefault(base_of(plan.scope, record)[0], []).append(plan.scope.partition("/")[2])
    explained = []
    for plan in plans:
        base, pending = base_of(plan.scope, record)
        wanted = {resource.id: resource for resource in desired[plan.scope]}
        known: cause.History | None = None
        why = no_base if not base else f"the last applied commit {base[:7]} is not in this clone"
        if plan.changes and base and history is not None and history.has(base):
            if base not in bases:
                bases[base] = rendered_at(session, environment, history, base, targets_of[base])
            previous = bases[base].get(plan.scope)
            why = f"the last applied commit {base[:7]} does not render with this program"
            if previous is not None:
                changed = history.changed(base, session.at or None)
                known = cause.History(history.short(base), previous, changed, _removals(session, history), pending)
        explained.append(cause.assign(plan, wanted, known, why_unknown=why))
    return explained


def _removals(session: Session, history: Repository) -> Callable[[str], str]:
    """Which commit removed a file: looking back from what is planned."""
    if not session.at:
        return history.removed_in

    def removed_in(file: str) -> str:
        gone = not (session.root / file).exists()
        return worktree.removed_in(session.checkout, file, session.at) if gone else ""

    return removed_in


def base_of(scope: str, record: Mapping[str, Any] | None) -> tuple[str, frozenset[str]]:
    """The commit last applied to a scope, empty where none is on record, and the ids that were blocked in it."""
    state = (record.get("scopes", {}) if record else {}).get(scope, {})
    return str(state.get("commit", "")), frozenset(map(str, state.get("pending", ())))


def rendered_at(
    session: Session, environment: Environment, history: Repository, base: str, targets: Sequence[str]
) -> dict[str, dict[Id, Resource]]:
    """What git wanted of some targets at a former commit, by scope; without those that this program cannot render."""
    rendered: dict[str, dict[Id, Resource]] = {}
    with tempfile.TemporaryDirectory(prefix="mlab-base-") as folder:
        root = history.export(base, Path(folder))
        if not (root / "config").is_dir():
            return {}
        try:
            loaded = loading.load(root, overlay=session.overlay)
            former = replace(session, root=root if (root / "jsonnet").is_dir() else session.root, fleet=loaded.fleet)
            if environment.name not in loaded.fleet.environments or not jsonnet_root(root).is_dir():
                return {}
        except MlabError:
            return {}
        for target in targets:
            try:
                made = former.render(loaded.fleet.environments[environment.name], [target])
            except MlabError:
                continue
            rendered |= {f"{environment.name}/{name}": {r.id: r for r in of} for name, of in made.items()}
    return rendered
