"""Plans and render diffs as Markdown for a pull request: verdict first, then what is blocked or destructive, then a
table of counts, then each scope folded.

A comment holds at most 65,536 characters, and readers fail just before it. What is longer than `BUDGET` shrinks in
steps: long values to one line each, then no values, then counts only; a note says so and where the whole of it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from reconcilers.core import plan as planning
from reconcilers.core.model import Change, Plan, Risk
from reconcilers.report import groups, text, values
from reconcilers.report.run import RunPlan

BUDGET = 60_000
WHOLE, ONE_LINE, NO_VALUES, COUNTS = range(4)
_LEFT_OUT = {
    ONE_LINE: "long values are shown by digest and size",
    NO_VALUES: "values are left out",
    COUNTS: "only counts are shown",
}
_RISKY = (Risk.DESTRUCTIVE, Risk.IRREVERSIBLE)
_LISTED = 50


def plan_marker(env: str) -> str:
    """The hidden first line by which the comment of an environment is found again."""
    return f"<!-- mlab-plan:{env} -->"


DIFF_MARKER = "<!-- mlab-diff -->"


def plan(made: RunPlan, *, artifact: str = "") -> str:
    """A live plan; `artifact` is the address of the complete one."""
    none = "a record that cannot be read" if made.base_unreadable else "no record"
    head = [
        plan_marker(made.env),
        f"### {text.summary(made)}",
        "",
        f"commit `{made.commit}` over `{made.base or none}`, digest `{made.digest[:12]}`{_link(artifact)}",
    ]
    return _fitted(lambda level: _body(head, [made], level), artifact)


def difference(made: Sequence[RunPlan], *, artifact: str = "") -> str:
    """What the commits change in what git wants, of all environments; nothing was asked."""
    base, commit = (made[0].base, made[0].commit) if made else ("", "")
    head = [
        DIFF_MARKER,
        f"### {text.difference_summary(made)}",
        "",
        f"rendered at `{base}` and at `{commit}`, without contacting any target{_link(artifact)}",
    ]
    return _fitted(lambda level: _body(head, made, level), artifact)


def _fitted(body: Callable[[int], Iterator[str]], artifact: str) -> str:
    for level in range(COUNTS + 1):
        lines = list(body(level))
        if level:
            lines += ["", f"_Shortened: {_LEFT_OUT[level]}{_link(artifact)}._"]
        made = "\n".join(lines)
        if len(made) <= BUDGET:
            return made
    note = f"\n\n_Cut at {BUDGET} characters{_link(artifact)}._"
    return made[: BUDGET - len(note)] + note


def _link(artifact: str) -> str:
    return f"; [complete]({artifact})" if artifact else ""


def _body(head: Sequence[str], made: Sequence[RunPlan], level: int) -> Iterator[str]:
    yield from head
    scopes = [scope for run in made for scope in run.plans]
    refused = [line for scope in scopes for line in scope.refused]
    for line in (*refused, *(warning for run in made for warning in run.warnings)):
        yield f"- :no_entry: {_escape(line)}"
    risky = [(scope, c) for scope in scopes for c in groups.listing(_risky(scope))]
    if risky and level < COUNTS:
        yield "\n**Blocked or destructive**\n"
        for scope, change in risky[:_LISTED]:
            yield f"- {_line(scope, change)}"
        if len(risky) > _LISTED:
            yield f"- … and {len(risky) - _LISTED} more"
    yield "\n| scope | create | update | delete | blocked | unchanged |\n|---|---|---|---|---|---|"
    for scope in scopes:
        n = planning.counts([scope])
        note = " (left alone)" if scope.paused else "" if scope.complete else " (not observed)"
        row = (scope.scope + note, n["create"], n["update"], n["delete"], n["blocked"], n["unchanged"])
        yield f"| {' | '.join(map(str, row))} |"
    if level == COUNTS:
        return
    for scope in scopes:
        if scope.changes:
            yield f"\n<details><summary>{scope.scope}: {_number(scope)}</summary>\n"
            for change in groups.listing(scope.changes):
                yield f"- {_line(scope, change)}"
                if level < NO_VALUES and isinstance(change, Change):
                    yield from _fields(change, level)
            yield "\n</details>"


def _number(scope: Plan) -> str:
    return f"{len(scope.changes)} change{'s'[: len(scope.changes) != 1]}"


def _risky(scope: Plan) -> list[Change]:
    found = [change for change in scope.changes if change.blocked or change.risk in _RISKY]
    return sorted(found, key=lambda change: change.blocked is None)


def _line(scope: Plan, item: Change | groups.Group | groups.Rest) -> str:
    if isinstance(item, groups.Rest):
        blocked = f" · **blocked**: {_escape(item.blocked)}" if item.blocked else ""
        return f"`{text.SIGNS[item.action]}` … and {groups.counted(item.changes)} of {item.files} more files{blocked}"
    if isinstance(item, groups.Group):
        change, where, name = item.first, item.first.source.file, f"{scope.scope}: {item.kinds}"
    else:
        change, where, name = item, str(item.source), f"{scope.scope}/{item.id}"
    where += f" (removed in {change.removed_in})" if change.removed_in else ""
    parts = [f"`{text.SIGNS[change.action]}` `{name}`", f"`{where}`", change.risk.value]
    parts += [f"{change.cause}: {_escape(change.reason)}"] if change.reason else []
    parts += [f"**blocked**: {_escape(change.blocked)}"] if change.blocked else []
    parts += [f"permitted by `{change.ack}`"] if change.ack else []
    return " · ".join(parts)


def _fields(change: Change, level: int) -> Iterator[str]:
    if change.observed is None or change.desired is None or not change.fields:
        return
    yield "  ```diff"
    for found in change.fields:
        for line in values.lines(found) if level == WHOLE else [next(values.lines(found))]:
            yield f"  {line.replace('```', '` ` `')}"
    yield "  ```"


def _escape(line: str) -> str:
    return line.replace("<", "&lt;").replace("|", "\\|")
