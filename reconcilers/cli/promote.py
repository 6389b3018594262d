"""`mlab promote`: apply to an environment the very commit that the one before it runs, once that has proved itself.

Which one that is, for how long it must have run there and which tags a commit needs stand in `promotion` of the
environment's file. What is then done is an apply like any other, with its limits and approvals.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from reconcilers.cli import apply
from reconcilers.cli.exits import worst
from reconcilers.cli.session import open_session
from reconcilers.core.errors import Refused, UsageError
from reconcilers.fleet import permissions
from reconcilers.fleet.model import Environment
from reconcilers.fleet.permissions import Promotion
from reconcilers.load.history import Repository, open_history
from reconcilers.providers.records import Records


def run(given: argparse.Namespace) -> int:
    """Exit 3 where the commit may not go further yet, with all reasons."""
    session = open_session(given, live=True)
    (environment,) = session.environments([given.env])
    rules = permissions.promotion(environment)
    if not rules.after:
        raise UsageError(f"{environment.name}: {environment.span.file} has no `promotion.after`: use `mlab apply`")
    (former,) = session.environments([rules.after])
    history = open_history(session.root)
    if history is None:
        raise Refused(f"{session.root} has no history: only a commit is promoted")
    with closing(Records(former, given.timeout)) as records:
        record, _ = records.read_applied(former.name)
    reasons = list(_reasons(rules, former, record, history))
    if reasons:
        raise Refused(f"{environment.name} does not get {history.head().short} yet: {'; '.join(reasons)}")
    assert record is not None
    print(f"{history.head().short}, as {former.name} runs it since {_since(former, record)}", file=sys.stderr)
    return worst([apply.one(session, environment, given), session.bugs.told()])


def _reasons(
    rules: Promotion, former: Environment, record: Mapping[str, Any] | None, history: Repository
) -> Iterator[str]:
    head = history.head()
    if record is None:
        yield f"{former.name} was never applied"
        return
    for scope, state in _scopes(former, record).items():
        if state.get("commit") != head.sha:
            yield f"{scope} runs {str(state.get('commit') or 'nothing')[:7]}"
        elif state.get("result") not in ("ok", "partial"):
            yield f"{scope} ended {state.get('result')}"
    ready = _parsed(_since(former, record)) + timedelta(seconds=rules.soak_s)
    if ready > datetime.now(UTC):
        yield f"{former.name} must have run it for {rules.soak_s} s, until {ready:%Y-%m-%dT%H:%M:%SZ}"
    if rules.tag and not any(fnmatch.fnmatchcase(tag, rules.tag) for tag in history.tags()):
        yield f"it has no tag {rules.tag}"


def _scopes(former: Environment, record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What is on record of each target that is not paused for good."""
    known = record.get("scopes", {})
    names = [name for name in former.data["targets"] if permissions.mode(former, name)[0] != "paused"]
    return {f"{former.name}/{name}": known.get(f"{former.name}/{name}", {}) for name in names}


def _since(former: Environment, record: Mapping[str, Any]) -> str:
    return max((str(state.get("finished", "")) for state in _scopes(former, record).values()), default="")


def _parsed(stamp: str) -> datetime:
    try:
        return datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC) - timedelta(days=400)
