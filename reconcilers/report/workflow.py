"""A plan as annotations of a CI run: each change that somebody should look at, shown at its line in the diff."""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core.model import Change, Risk
from reconcilers.load import present
from reconcilers.report import text
from reconcilers.report.run import RunPlan


def plan(made: RunPlan) -> Iterator[str]:
    """Refusals and blocked changes as errors, destructive ones as warnings, then one notice with the sums."""
    for scope in made.plans:
        for line in (*scope.refused, *scope.problems):
            yield present.command("error", scope.scope, line)
        for change in scope.changes:
            if change.blocked:
                yield _change("error", scope.scope, change, f"blocked: {change.blocked}")
            elif change.risk is not Risk.SAFE:
                yield _change("warning", scope.scope, change, f"{change.risk}: {change.cause}: {change.reason}")
    for line in made.warnings:
        yield present.command("warning", f"plan of {made.env}", line)
    yield present.command("notice", f"plan of {made.env}", text.summary(made))


def _change(level: str, scope: str, change: Change, message: str) -> str:
    return present.command(level, f"{scope}: {change.action} {change.id}", message, change.source)
