"""Keeps what each environment runs: `applied.json` in its records bucket, and the audit lines of each run.

If the bucket cannot be written, the apply stands: both are spooled below the state folder, and the next run of the
environment writes them first.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reconcilers.core.engine import ScopeResult
from reconcilers.core.errors import Conflict, MlabError
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
    env: str, commit: str, tree: str, who: Holder, finished: str, results: Iterable[ScopeResult]
) -> dict[str, Any]:
    """The part of `applied.json` that one run contributes; a scope that failed keeps its former commit."""
    scopes = {}
    ok = True
    for result in results:
        good = not result.failed and not result.refused
        ok &= good
        scopes[result.scope] = {"result": "ok" if good else "failed", **({"commit": commit} if good else {})}
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


def merge(former: Mapping[str, Any] | None, added: Mapping[str, Any]) -> dict[str, Any]:
    """Scopes of the former record that the run did not finish stay at their commit."""
    scopes = dict(former.get("scopes", {})) if former else {}
    for scope, new in added["scopes"].items():
        scopes[scope] = {**scopes.get(scope, {}), **new}
    return {**added, "scopes": dict(sorted(scopes.items()))}


def write(records: Records, state: Path, added: Mapping[str, Any]) -> str:
    """Write what was spooled, then this run's entry; returns one line on failure, after spooling it."""
    spool = state / "spool"
    env = str(added["env"])
    pending = sorted(spool.glob(f"applied-{env}-*.json"))
    try:
        for path in pending:
            _update(records, env, json.loads(path.read_text()))
            path.unlink()
        _update(records, env, added)
    except MlabError as error:
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
        if former is not None and str(former.get("finished", "")) > str(added["finished"]):
            return  # a spooled record of an older run: a newer one is there already
        try:
            records.write_applied(env, merge(former, added), generation)
        except Conflict:
            if attempt == _TRIES - 1:
                raise
        else:
            return
