"""Keeps what each environment runs: `applied.json` in its records bucket, and the audit lines of each run.

A scope's commit is the last one of which everything came about; what was blocked in it is named, so that the next plan
can tell it from drift. If the bucket cannot be written, the apply stands: both are spooled below the state folder, and
the next run of the environment writes them first.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reconcilers.core.engine import ScopeResult, Work
from reconcilers.core.errors import Conflict, MlabError
from reconcilers.core.model import Result
from reconcilers.core.provider import Holder
from reconcilers.providers.records import Records

_TRIES = 5


def holder(run: str, started: str) -> Holder:
    """This run, as a lock and a record name it: in CI the workflow's actor and address."""
    actor = os.environ.get("GITHUB_ACTOR") or f"{getpass.getuser()}@{socket.gethostname()}"
    server, repository = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    number = os.environ.get("GITHUB_RUN_ID", "")
    return Holder(run, actor, f"{server}/{repository}/actions/runs/{number}" if number else "", started)


def entry(
    env: str, commit: str, tree: str, who: Holder, finished: str, results: Iterable[tuple[Work, ScopeResult]]
) -> dict[str, Any]:
    """The part of `applied.json` that one run contributes.

    A scope that failed, or of which only a part was chosen, keeps its former commit; a paused one is not touched.
    """
    scopes: dict[str, dict[str, Any]] = {}
    ok = True
    for work, result in results:
        if result.plan.paused:
            continue
        good = not result.failed and not result.refused
        ok &= good
        scopes[result.scope] = {"result": "ok" if good else "failed", "finished": finished}
        if good and not work.part.whole:
            scopes[result.scope]["result"] = "partial"
        elif good:
            pending = sorted(str(o.change.id) for o in result.outcomes if o.result is Result.BLOCKED)
            scopes[result.scope] |= {"commit": commit, "pending": pending}
    return {
        "env": env,
        "commit": commit,
        "tree": tree,
        "started": who.started,
        "finished": finished,
        "actor": who.actor,
        "run_url": who.run_url,
        "result": "ok" if ok else "incomplete",
        "scopes": scopes,
    }


def finished(now: str, former: Mapping[str, Any] | None) -> str:
    """When a run ended that saw the former record: not before that one, even if this machine's clock went back."""
    return max(now, _finished(former or {}))


def merge(former: Mapping[str, Any] | None, added: Mapping[str, Any]) -> dict[str, Any]:
    """Of each scope the later word counts; a scope that did not come about stays at its commit.

    A spooled entry may be older than the record: then it only adds what the record does not know yet.
    """
    if former is None:
        return dict(added)
    scopes = dict(former.get("scopes", {}))
    for scope, state in added["scopes"].items():
        earlier, later = sorted((scopes.get(scope, {}), state), key=_finished)
        scopes[scope] = {**earlier, **later}
    newest = added if _finished(added) >= _finished(former) else former
    return {**newest, "scopes": dict(sorted(scopes.items()))}


def _finished(entry: Mapping[str, Any]) -> str:
    return str(entry.get("finished", ""))


def tells_more(former: Mapping[str, Any] | None, added: Mapping[str, Any]) -> bool:
    """Whether a run that wrote nothing knows a scope's commit better than the record does."""
    known = former.get("scopes", {}) if former else {}
    return former is None or any(
        state[key] != known.get(scope, {}).get(key)
        for scope, state in added["scopes"].items()
        for key in ("commit", "pending")
        if key in state
    )


def spooled(state: Path, env: str) -> list[Path]:
    """The entries of an environment that wait to be written, oldest first."""
    return sorted((state / "spool").glob(f"applied-{env}-*.json"))


def write(records: Records, state: Path, env: str, added: Mapping[str, Any] | None) -> str:
    """Write what was spooled, then this run's entry, if it has one; returns one line on failure, after spooling it."""
    spool = state / "spool"
    try:
        for path in spooled(state, env):
            _update(records, env, json.loads(path.read_text()))
            path.unlink()
        if added is not None:
            _update(records, env, added)
    except MlabError as error:
        if added is None:
            return f"the record of an earlier apply could not be written ({error}); it stays in {spool}"
        spool.mkdir(parents=True, exist_ok=True)
        path = spool / f"applied-{env}-{str(added['finished']).replace(':', '')}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(added))
        partial.replace(path)
        return f"the record of this apply could not be written ({error}); it is kept in {path} for the next run"
    return ""


def ship(records: Records, state: Path, env: str) -> str:
    """Move finished audit files of an environment to the bucket; what fails stays for the next run."""
    for path in sorted((state / "audit").glob(f"{env}-*.jsonl")):
        try:
            records.append_audit(env, path.stem.removeprefix(f"{env}-"), path.read_bytes())
        except MlabError as error:
            return f"the audit log could not be shipped ({error}); it is kept in {path} for the next run"
        path.unlink()
    return ""


def _update(records: Records, env: str, added: Mapping[str, Any]) -> None:
    for attempt in range(_TRIES):
        former, generation = records.read_applied(env)
        merged = merge(former, added)
        if merged == former:
            return  # a spooled entry that arrived before, or that later runs made void
        try:
            records.write_applied(env, merged, generation)
        except Conflict:
            if attempt == _TRIES - 1:
                raise
        else:
            return
