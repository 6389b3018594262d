"""The issue that tells that an environment drifted: the same text for the same drift, so that nobody is told twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconcilers.report.markdown import BUDGET

Scopes = Sequence[Mapping[str, Any]]
_LISTED = 40
"""As many resources of a scope are listed."""


def marker(env: str) -> str:
    """The hidden first line by which the issue of an environment is found again."""
    return f"<!-- mlab-drift:{env} -->"


def title(env: str, scopes: Scopes) -> str:
    """What a list of issues shows."""
    number = sum(len(scope["changes"]) for scope in scopes)
    unknown = sum(not scope["complete"] for scope in scopes)
    parts = [f"{number} resource{'s'[: number != 1]} drifted"] if number else []
    parts += [f"{unknown} scope{'s'[: unknown != 1]} not observed"] if unknown else []
    return f"{env}: {', '.join(parts)}"


def is_in_sync(scopes: Scopes) -> bool:
    """True only if everything was looked at and nothing differs: what is unknown is not in sync."""
    return all(scope["complete"] and not scope["changes"] for scope in scopes)


def body(env: str, scopes: Scopes) -> str:
    """The text. The address of the run is left out: it would differ each time."""
    return "\n".join(_lines(env, scopes))[:BUDGET]


def closing(env: str, run: str) -> str:
    """Said when nothing differs any more."""
    return f"{env} is what was last applied there{f' ([run]({run}))' if run else ''}."


def _lines(env: str, scopes: Scopes) -> Iterator[str]:
    yield marker(env)
    yield f"The targets of **{env}** are not what was last applied there."
    yield f"`mlab drift --env {env}` shows it in full, `mlab apply --env {env}` heals what is ours."
    yield ""
    for scope in scopes:
        if scope["complete"] and not scope["changes"]:
            continue
        sums = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in scope["states"].items())
        yield f"- **{scope['scope']}** ({sums}; policy: {scope['policy']})"
        yield from (f"  - not observed: {_plain(problem)}" for problem in scope["problems"])
        for change in scope["changes"][:_LISTED]:
            fields = ", ".join(f"`{'.'.join(map(str, path))}`" for path in change["fields"][:6])
            yield f"  - {change['state']}: `{change['id']}`" + (f" ({fields})" if change["state"] == "drifted" else "")
        if len(scope["changes"]) > _LISTED:
            yield f"  - … and {len(scope['changes']) - _LISTED} more"


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")
