"""A plan as a person reads it on a terminal: worst first, each change with its place in git, cause and fields."""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core import plan as planning
from reconcilers.core.engine import ScopeResult
from reconcilers.core.model import Action, Cause, Change, Plan, Result, Risk
from reconcilers.report import values
from reconcilers.report.run import RunPlan

SIGNS = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.DELETE: "-",
    Action.ADOPT: "@",
    Action.REPLACE: "±",
    Action.FORGET: "o",
}
_FOLD = 12
"""Creations of one kind beyond this number are counted, not listed: their fields are what git says anyway."""


def plan(made: RunPlan, *, verbose: bool = False) -> Iterator[str]:
    """The whole run, a block a scope, then one line of sums and what stands in the way."""
    for scope in made.plans:
        yield from _scope(scope, verbose)
        yield ""
    for warning in made.warnings:
        yield f"warning: {warning}"
    yield summary(made)


def summary(made: RunPlan) -> str:
    """`Plan sandbox: 2 to create, … Nothing blocked.`"""
    counts = planning.counts(made.plans)
    parts = [f"{counts[a.value]} to {a.value}" for a in Action if counts[a.value] or a in _ALWAYS]
    blocked = f"{counts['blocked']} blocked." if counts["blocked"] else "Nothing blocked."
    refused = sum(len(p.refused) for p in made.plans)
    missing = [p.scope for p in made.plans if not p.complete]
    text = f"Plan {made.env}: {', '.join(parts)}, {counts['unchanged']} unchanged. {blocked}"
    if refused:
        text += f" {refused} limit{'s' if refused > 1 else ''} exceeded: apply is refused there."
    if missing:
        text += f" Not observed: {', '.join(missing)}."
    return f"{text} Digest {made.digest[:12]}."


_ALWAYS = (Action.CREATE, Action.UPDATE, Action.DELETE)


def _scope(scope: Plan, verbose: bool) -> Iterator[str]:
    owned = sum(scope.population.values())
    if not scope.complete:
        yield f"{scope.scope}   not observed"
        for problem in scope.problems:
            yield f"  ! {problem}"
        return
    counts = planning.counts([scope])
    numbers = "  ".join(f"{counts[a.value]} {a.value}" for a in Action if counts[a.value]) or "no changes"
    if counts["blocked"]:
        numbers += f"  {counts['blocked']} blocked"
    yield f"{scope.scope}   {numbers}  (of {owned} owned)  digest {planning.digest(scope)[:6]}"
    for refusal in scope.refused:
        yield f"  ! refused: {refusal}"
    yield from changes(scope.changes, verbose=verbose)


def changes(planned: tuple[Change, ...], *, verbose: bool = False) -> Iterator[str]:
    """The changes of one scope; many plain creations of a kind are counted instead of listed."""
    shown: dict[tuple[Action, str], int] = {}
    folded: dict[tuple[Action, str], int] = {}
    for change in planned:
        group = (change.action, change.id.kind)
        shown[group] = shown.get(group, 0) + 1
        plain = change.action is Action.CREATE and change.risk is Risk.SAFE and not change.blocked
        if plain and not verbose and shown[group] > _FOLD:
            folded[group] = folded.get(group, 0) + 1
            continue
        yield from _change(change, verbose)
    for (action, kind), n in folded.items():
        yield f"  {SIGNS[action]} … and {n} more {kind} to {action} (-v lists them)"


def _change(change: Change, verbose: bool) -> Iterator[str]:
    where = str(change.source)
    if change.removed_in:
        where = f"{change.source.file} (removed in {change.removed_in})"
    cause = "" if change.cause is Cause.UNKNOWN and not verbose else f"{change.cause}: {change.reason}"
    risk = "" if change.risk is Risk.SAFE else f"  {change.risk}"
    yield f"  {SIGNS[change.action]} {change.id}   {where}{risk}{'   ' + cause if cause else ''}"
    if change.observed is not None and change.observed.note:
        yield f"      note: {change.observed.note}"
    if change.blocked:
        yield f"      blocked: {change.blocked}"
    if change.ack:
        yield f"      permitted by {change.ack}"
    if change.action in (Action.UPDATE, Action.ADOPT, Action.REPLACE) or (verbose and change.action is Action.CREATE):
        for found in change.fields:
            for line in values.lines(found):
                yield f"      {line}"


def results(done: list[ScopeResult]) -> Iterator[str]:
    """What an apply did: a line a scope, failures grouped by their text, never one line a change."""
    for result in done:
        ended = [o for o in result.outcomes if o.result is Result.APPLIED]
        numbers = {a: sum(o.change.action is a for o in ended) for a in Action}
        text = ", ".join(f"{n} {_PAST[a]}" for a, n in numbers.items() if n) or "nothing to do"
        if result.refused and not ended:
            text = "refused"
        elif result.error and not ended:
            text = "failed"
        yield f"{result.scope}: {text}"
        for refusal in result.refused:
            yield f"  ! refused: {refusal}"
        if result.error:
            yield f"  ! {result.error}"
        for line in result.not_converged:
            yield f"  ! {line}"
        groups: dict[tuple[str, str], list[str]] = {}
        for outcome in result.outcomes:
            if outcome.result not in (Result.APPLIED, Result.UNCHANGED):
                groups.setdefault((outcome.result.value, outcome.error), []).append(str(outcome.change.id))
        for (kind, error), ids in groups.items():
            more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
            yield f"  ! {len(ids)} x {kind}: {error} ({', '.join(ids[:3])}{more})"


_PAST = {
    Action.CREATE: "created",
    Action.UPDATE: "updated",
    Action.DELETE: "deleted",
    Action.ADOPT: "adopted",
    Action.REPLACE: "replaced",
    Action.FORGET: "forgotten",
}
