"""A plan as Markdown for a pull request: verdict first, then what is blocked or destructive, then the scopes folded.

Shrinks in steps to stay below `BUDGET` characters: a comment's limit is 65,536 and readers fail just before it.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.core import plan as planning
from reconcilers.core.model import Change, Plan, Risk
from reconcilers.report import text, values
from reconcilers.report.run import RunPlan

BUDGET = 60_000


def plan(made: RunPlan) -> str:
    """The comment, found again by the hidden marker in its first line."""
    for level in range(3):
        body = "\n".join(_body(made, level))
        if len(body) <= BUDGET:
            return body
    return body[: BUDGET - 60] + "\n\n…cut; the complete plan is in the artifact."


def _body(made: RunPlan, level: int) -> Iterator[str]:
    yield f"<!-- mlab-plan:{made.env} -->"
    yield f"### {text.summary(made)}"
    yield ""
    yield f"commit `{made.commit}` over `{made.base or 'no record'}`, digest `{made.digest[:12]}`"
    refused = [line for scope in made.plans for line in scope.refused]
    for line in (*refused, *made.warnings):
        yield f"- :no_entry: {_escape(line)}"
    risky = [(p, c) for p in made.plans for c in p.changes if c.blocked or c.risk in _RISKY]
    if risky and level < 2:
        yield "\n**Blocked or destructive**\n"
        for scope, change in risky[:50]:
            yield f"- {_line(scope, change)}"
        if len(risky) > 50:
            yield f"- … and {len(risky) - 50} more"
    yield "\n| scope | create | update | delete | blocked | unchanged |\n|---|---|---|---|---|---|"
    for scope in made.plans:
        n = planning.counts([scope])
        name = scope.scope if scope.complete else f"{scope.scope} (not observed)"
        yield f"| {name} | {n['create']} | {n['update']} | {n['delete']} | {n['blocked']} | {n['unchanged']} |"
    if level == 2:
        return
    for scope in made.plans:
        if scope.changes:
            yield f"\n<details><summary>{scope.scope}: {len(scope.changes)} changes</summary>\n"
            for change in scope.changes:
                yield f"- {_line(scope, change)}"
                if level == 0:
                    yield from _fields(change)
            yield "\n</details>"


_RISKY = (Risk.DESTRUCTIVE, Risk.IRREVERSIBLE)


def _line(scope: Plan, change: Change) -> str:
    where = f"{change.source}" + (f" (removed in {change.removed_in})" if change.removed_in else "")
    parts = [f"`{text.SIGNS[change.action]}` `{scope.scope}/{change.id}`", f"`{where}`", change.risk.value]
    parts += [f"{change.cause}: {_escape(change.reason)}"] if change.reason else []
    parts += [f"**blocked**: {_escape(change.blocked)}"] if change.blocked else []
    parts += [f"permitted by `{change.ack}`"] if change.ack else []
    return " · ".join(parts)


def _fields(change: Change) -> Iterator[str]:
    if change.observed is None or change.desired is None:
        return
    yield "  ```diff"
    for found in change.fields:
        for line in values.lines(found):
            yield f"  {line.replace('```', '` ` `')}"
    yield "  ```"


def _escape(line: str) -> str:
    return line.replace("<", "&lt;").replace("|", "\\|")
