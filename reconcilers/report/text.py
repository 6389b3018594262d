"""A plan as a person reads it on a terminal: worst first, each change with its place in git, cause and fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reconcilers.core import plan as planning
from reconcilers.core.model import Action, Cause, Change, Plan, Result, Risk
from reconcilers.report import groups, values
from reconcilers.report.run import RunPlan

if TYPE_CHECKING:  # a diff applies nothing, and need not load what does
    from reconcilers.core.engine import ScopeResult

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
        where = ", ".join(p.scope for p in made.plans if p.refused)
        text += f" {refused} refusal{'s' if refused > 1 else ''}: apply writes nothing in {where}."
    if missing:
        text += f" Not observed: {', '.join(missing)}."
    return f"{text} Digest {made.digest[:12]}."


def difference(made: Sequence[RunPlan], *, verbose: bool = False) -> Iterator[str]:
    """What the commits change in what git wants: a block for each scope that changes, then one line of sums."""
    for run in made:
        for scope in run.plans:
            if scope.changes:
                counts = planning.counts([scope])
                numbers = "  ".join(f"{counts[a.value]} {a.value}" for a in Action if counts[a.value])
                blocked = f"  {counts['blocked']} blocked" if counts["blocked"] else ""
                yield f"{scope.scope}   {numbers}{blocked}  (of {sum(scope.population.values())})"
                yield from (f"  ! refused: {refusal}" for refusal in scope.refused)
                yield from changes(scope.changes, verbose=verbose)
                yield ""
    yield difference_summary(made)


def difference_summary(made: Sequence[RunPlan]) -> str:
    """`Diff 91d0aaa..3f2c1ab: 2 to create, … in staging/epoxy.` or that nothing changes."""
    ends = f"{made[0].base[:7]}..{made[0].commit[:7]}" if made else ""
    scopes = [scope for run in made for scope in run.plans if scope.changes]
    if not scopes:
        return f"Diff {ends}: nothing changes at any target."
    counts = planning.counts(scopes)
    parts = [f"{counts[a.value]} to {a.value}" for a in Action if counts[a.value] or a in _ALWAYS]
    blocked = f", {counts['blocked']} impossible" if counts["blocked"] else ""
    refused = sum(len(scope.refused) for scope in scopes)
    more = f" {refused} refusal{'s' if refused > 1 else ''} to expect." if refused else ""
    return f"Diff {ends}: {', '.join(parts)}{blocked} in {', '.join(scope.scope for scope in scopes)}.{more}"


_ALWAYS = (Action.CREATE, Action.UPDATE, Action.DELETE)


def _scope(scope: Plan, verbose: bool) -> Iterator[str]:
    owned = sum(scope.population.values())
    if scope.paused:
        yield f"{scope.scope}   left alone: {scope.paused}"
        return
    if not scope.complete:
        yield f"{scope.scope}   not observed"
        for problem in scope.problems:
            yield f"  ! {scope.scope}: {problem}"
        return
    counts = planning.counts([scope])
    numbers = "  ".join(f"{counts[a.value]} {a.value}" for a in Action if counts[a.value]) or "no changes"
    if counts["blocked"]:
        numbers += f"  {counts['blocked']} blocked"
    yield f"{scope.scope}   {numbers}  (of {owned} owned)  digest {planning.digest(scope)[:6]}"
    for refusal in scope.refused:
        yield f"  ! refused: {refusal}"
    for why in sorted({_why_unknown(change)[0] for change in scope.changes} - {""}):
        yield f"  {why}, so that causes are unknown"
    yield from changes(scope.changes, verbose=verbose)


def changes(planned: tuple[Change, ...], *, verbose: bool = False) -> Iterator[str]:
    """The changes of one scope; very many are summed up by file, many plain creations of a kind are counted."""
    shown: dict[tuple[Action, str], int] = {}
    folded: dict[tuple[Action, str], int] = {}
    for item in planned if verbose else groups.listing(planned):
        if isinstance(item, groups.Group):
            yield from _group(item)
            continue
        if isinstance(item, groups.Rest):
            sums = groups.counted(item.changes)
            yield f"  {SIGNS[item.action]} … and {sums} of {item.files} more files to {item.action} (-v lists them)"
            if item.blocked:
                yield f"      blocked: {item.blocked}"
            continue
        group = (item.action, item.id.kind)
        shown[group] = shown.get(group, 0) + 1
        plain = item.action is Action.CREATE and item.risk is Risk.SAFE and not item.blocked and not item.moved
        if plain and not verbose and shown[group] > _FOLD:
            folded[group] = folded.get(group, 0) + 1
            continue
        yield from _change(item, verbose)
    for (action, kind), n in folded.items():
        yield f"  {SIGNS[action]} … and {n} more {kind} to {action} (-v lists them)"


def _group(group: groups.Group) -> Iterator[str]:
    first = group.first
    where = f"{first.source.file} (removed in {first.removed_in})" if first.removed_in else first.source.file
    yield f"  {SIGNS[first.action]} {group.kinds}   {where}   {first.risk}   {_cause(first)}"
    yield from _verdict(first)
    for line in group.fields():
        yield f"      {line}"


def _cause(change: Change) -> str:
    cause = "cause unknown" if change.cause is Cause.UNKNOWN else str(change.cause)
    reason = _why_unknown(change)[1]
    return f"{cause}: {reason}" if reason else cause


def _verdict(change: Change) -> Iterator[str]:
    if change.blocked:
        yield f"      blocked: {change.blocked}"
    if change.ack:
        yield f"      permitted by {change.ack}"


def _why_unknown(change: Change) -> tuple[str, str]:
    """Why nobody knows the cause, which is said once for a scope, and what is this change's own."""
    if change.cause is not Cause.UNKNOWN:
        return "", change.reason
    why, _, own = change.reason.partition("; ")
    return why, own


def _change(change: Change, verbose: bool) -> Iterator[str]:
    where = str(change.source)
    if change.removed_in:
        where = f"{change.source.file} (removed in {change.removed_in})"
    yield f"  {SIGNS[change.action]} {change.id}   {where}   {change.risk}   {_cause(change)}"
    if change.observed is not None and change.observed.note:
        yield f"      note: {change.observed.note}"
    yield from _verdict(change)
    created = change.action is Action.CREATE and (verbose or change.moved is not None)
    if change.action in (Action.UPDATE, Action.ADOPT, Action.REPLACE) or created:
        for found in change.fields:
            for line in values.lines(found):
                yield f"      {line}"


def results(done: list[ScopeResult]) -> Iterator[str]:
    """What an apply did: a line a scope, failures grouped by their text, never one line a change."""
    for result in done:
        ended = [o for o in result.outcomes if o.result is Result.APPLIED]
        numbers = {a: sum(o.change.action is a for o in ended) for a in Action}
        text = ", ".join(f"{n} {_PAST[a]}" for a, n in numbers.items() if n) or "nothing to do"
        if result.plan.paused:
            text = f"left alone: {result.plan.paused}"
        elif result.refused and not ended:
            text = "refused"
        elif result.error and not ended:
            text = "failed"
        yield f"{result.scope}: {text}"
        for refusal in result.refused:
            yield f"  ! refused: {refusal}"
        if result.error:
            yield f"  ! {result.scope}: {result.error}"
        for line in result.not_converged:
            yield f"  ! {line}"
        groups: dict[tuple[Result, str], list[str]] = {}
        for outcome in result.outcomes:
            if outcome.result not in (Result.APPLIED, Result.UNCHANGED):
                groups.setdefault((outcome.result, outcome.error), []).append(str(outcome.change.id))
        for (kind, error), ids in groups.items():
            more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
            step = f"; {_NEXT[kind]}" if kind in _NEXT else ""
            yield f"  ! {result.scope}: {len(ids)} x {kind}: {error} ({', '.join(ids[:3])}{more}){step}"


_NEXT = {
    Result.FAILED_TEMPORARY: "apply again when the target answers",
    Result.FAILED_PERMANENT: "correct the target, or what git says of it, and apply again",
    Result.CONFLICT: "another writer was quicker: apply again",
    Result.SKIPPED: "apply again",
}
_PAST = {
    Action.CREATE: "created",
    Action.UPDATE: "updated",
    Action.DELETE: "deleted",
    Action.ADOPT: "adopted",
    Action.REPLACE: "replaced",
    Action.FORGET: "forgotten",
}
