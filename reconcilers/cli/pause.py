"""`mlab pause SCOPE`: keep every writer off a scope for a while, commands, workflows and loops alike."""

from __future__ import annotations

import argparse
import json
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta

from reconcilers.cli.exits import Exit
from reconcilers.cli.session import Session, open_session
from reconcilers.core.errors import UsageError
from reconcilers.fleet.model import Environment
from reconcilers.providers import pauses
from reconcilers.providers.records import Records
from reconcilers.report import record

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def run(given: argparse.Namespace) -> int:
    """Also prolongs or shortens a pause that holds already."""
    length_s = _seconds(given.length)
    if not given.reason.strip() or not given.reason.isprintable():
        raise UsageError("--reason: say in one line why, for whoever finds the scope paused")
    session = open_session(given, live=True)
    environment, targets = chosen(session, given.scope)
    now = datetime.now(UTC)
    until = pauses.stamp(now + timedelta(seconds=length_s))
    made = pauses.Pause(record.holder("", "").actor, given.reason.strip(), pauses.stamp(now), until)
    with closing(Records(environment, given.timeout)) as records:
        pauses.change(records, environment.name, dict.fromkeys(targets, made), (), now)
    for target in targets:
        print(_line(f"{environment.name}/{target}", made, given))
    return Exit.OK


def chosen(session: Session, scope: str) -> tuple[Environment, tuple[str, ...]]:
    """The environment of a scope and its target, or all of its targets."""
    env, _, target = scope.partition("/")
    (environment,) = session.environments([env])
    known = tuple(environment.data["targets"])
    if not target:
        return environment, known
    if target not in known:
        raise UsageError(f"{scope}: {environment.span.file} has no such target; known: {', '.join(known)}")
    return environment, (target,)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None:
        raise UsageError(f"--for {text}: write a time as 30m, 4h or 2d")
    seconds = int(found[1]) * _UNITS[found[2]]
    if not 0 < seconds <= pauses.LONGEST_S:
        longest = f"{pauses.LONGEST_S // 86400}d"
        raise UsageError(
            f"--for {text}: at most {longest}; for longer, set `modes` to paused in the environment's file"
        )
    return seconds


def _line(scope: str, made: pauses.Pause, given: argparse.Namespace) -> str:
    if given.json:
        return json.dumps({"scope": scope, "actor": made.actor, "reason": made.reason, "until": made.until})
    return f"{scope}: paused until {made.until}; `mlab resume {scope}` ends it before"
