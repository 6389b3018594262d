"""`mlab ci`: what a workflow tells people on GitHub: one comment an environment, one issue an environment.

Both are found again by a hidden marker in an entry of our own account, and edited: nobody is told the same thing twice.
The text was made by a job that may not write; this runs in another one, which only may write, on text that it does
not trust further than to show it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path

from reconcilers.cli.exits import Exit
from reconcilers.core.errors import UsageError
from reconcilers.report import drift_issue, markdown
from reconcilers.report.github import Entry, GitHub

LABEL = "drift"
_NEEDED = {"scope", "complete", "policy", "states", "changes", "problems"}


def run(given: argparse.Namespace) -> int:
    """Write the comment or the issue; nothing is written where nothing changed."""
    github = _github(given)
    return _comment(github, given) if given.action == "comment" else _issue(github, given)


def _github(given: argparse.Namespace) -> GitHub:
    api = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    repository = given.repository or os.environ.get("GITHUB_REPOSITORY", "")
    token = os.environ.get("GITHUB_TOKEN", "")
    if repository.count("/") != 1:
        raise UsageError("which repository? give --repository OWNER/NAME, or set GITHUB_REPOSITORY")
    if not token:
        raise UsageError("GITHUB_TOKEN is not set: a job needs it in its `env`, with permission to write there")
    return GitHub(api, repository, token)


def _comment(github: GitHub, given: argparse.Namespace) -> int:
    if given.pull is None or given.about is None or given.body is None:
        raise UsageError("comment: give --pull NUMBER, --about ENV (or `--about diff`) and --body FILE")
    marker = markdown.DIFF_MARKER if given.about == "diff" else markdown.plan_marker(given.about)
    body = _body(Path(given.body), marker, given)
    former = _ours(github.comments(given.pull), marker, given.author)
    if former is not None and former.body == body:
        print(f"#{given.pull}: the comment on {given.about} says that already: {former.url}")
        return Exit.OK
    made = github.edit_comment(former.number, body) if former is not None else github.comment(given.pull, body)
    print(f"#{given.pull}: {'edited' if former is not None else 'commented'}: {made.url}")
    return Exit.OK


def _body(path: Path, marker: str, given: argparse.Namespace) -> str:
    """The text that another job made, or word that it made none; never one that GitHub would refuse."""
    try:
        text = path.read_text(errors="replace").strip()
    except OSError:
        text = ""
    if not text:
        where = f"; see [its run]({given.link})" if given.link else ""
        text = f"{marker}\n### {given.about}: no report was made{where}"
    if not text.startswith(marker):
        text = f"{marker}\n{text}"
    return text if len(text) <= markdown.BUDGET else text[: markdown.BUDGET - 20] + "\n\n_Cut._"


def _issue(github: GitHub, given: argparse.Namespace) -> int:
    if given.env is None or given.report is None:
        raise UsageError("drift-issue: give --env ENV and --report FILE, as `mlab drift --out FILE` wrote it")
    scopes = _scopes(Path(given.report), given.env)
    marker = drift_issue.marker(given.env)
    former = _ours(github.open_issues(LABEL), marker, given.author)
    if drift_issue.is_in_sync(scopes):
        if former is None:
            print(f"{given.env}: in sync, and no issue is open")
            return Exit.OK
        github.comment(former.number, drift_issue.closing(given.env, given.link))
        github.edit_issue(former.number, state="closed", state_reason="completed")
        print(f"{given.env}: in sync again; closed {former.url}")
        return Exit.OK
    title, body = drift_issue.title(given.env, scopes), drift_issue.body(given.env, scopes)
    if former is None:
        print(f"{given.env}: opened {github.open_issue(title, body, LABEL).url}")
    elif (former.title, former.body) == (title, body):
        print(f"{given.env}: nothing new; open since before: {former.url}")
    else:
        print(f"{given.env}: edited {github.edit_issue(former.number, title=title, body=body).url}")
    return Exit.OK


def _scopes(path: Path, env: str) -> drift_issue.Scopes:
    """The scopes of a drift report. A file that is none says nothing about drift, least of all that there is none."""
    try:
        for entry in json.loads(path.read_text()):
            if entry["env"] == env:
                found: drift_issue.Scopes = entry["scopes"]
                if found and all(scope.keys() >= _NEEDED for scope in found):
                    return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no report of drift: {error}; make it with `mlab drift --out {path}`") from error
    raise UsageError(f"{path}: it says nothing about {env}; make it with `mlab drift --env {env} --out {path}`")


def _ours(entries: Iterable[Entry], marker: str, author: str) -> Entry | None:
    """The first entry with the marker that our own account wrote; a copy of it in somebody else's is not ours."""
    return next((e for e in entries if e.author == author and e.body.startswith(marker)), None)
