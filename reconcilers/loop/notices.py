"""Tells people when a state changes, once: to a webhook, to Alertmanager, or as the status of a commit.

Only transitions are told (in sync -> failed, drift found, drift cleared), each under a key of environment, scope,
state and commit that is kept over restarts; those of one pass are told together. What could not be delivered is kept
and tried again with the next ones, at most a hundred.
Protocols: Alertmanager's API v2 (`POST /api/v2/alerts`), GitHub's REST API (`POST /repos/R/statuses/SHA`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from reconcilers.core.errors import MlabError, Permanent, one_line
from reconcilers.loop.scope import State
from reconcilers.providers import secrets, whole_files

TIMEOUT_S = (3.05, 10.0)
KEPT = 100
GOOD = frozenset({"in_sync", "paused"})
_SILENT = frozenset({"unknown", "waiting"})


@dataclass(frozen=True, slots=True)
class Notice:
    """One transition; `before` is empty for the first state that is not good."""

    env: str
    scope: str
    before: str
    state: str
    commit: str
    text: str
    time: str
    since: str
    """When the scope left its last good state: the start of the alert that a good state ends."""


class Notices:
    """Remembers the last state told of each scope, in `file`, and what is still to be delivered."""

    def __init__(self, env: str, file: Path) -> None:
        self._env, self._file = env, file
        self._told: dict[str, str] = {}
        self._pending: list[Notice] = []
        self._began: dict[str, str] = {}
        try:
            kept = json.loads(file.read_text())
            self._told = dict(kept["told"])
            self._began = dict(kept["began"])
            self._pending = [Notice(**item) for item in kept["pending"]]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # without memory a state is told twice, which is better than never

    def take(self, states: Iterable[State], link: str = "") -> list[Notice]:
        """The transitions of these states; each is to be delivered from now on."""
        found = []
        for state in states:
            before = self._told.get(state.scope, "")
            if state.state in _SILENT or state.state == before or (not before and state.state in GOOD):
                continue
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            since = self._began.setdefault(state.scope, now)
            text = _text(state, link)
            found.append(Notice(self._env, state.scope, before, state.state, state.commit, text, now, since))
            self._told[state.scope] = state.state
            if state.state in GOOD:
                del self._began[state.scope]
        if found:
            self._pending = [*self._pending, *found][-KEPT:]
            self._keep()
        return found

    def deliver(self, channels: Sequence[Mapping[str, Any]]) -> str:
        """Send all that is pending to every channel; what went wrong as one line, empty if nothing did."""
        if not self._pending:
            return ""
        failed = []
        for channel in channels:
            try:
                _send(channel, self._pending)
            except (MlabError, requests.RequestException) as error:
                failed.append(f"{channel['kind']}: {one_line(secrets.redact(str(error)), 160)}")
        if not failed:
            self._pending = []
            self._keep()
        return "; ".join(failed)

    def _keep(self) -> None:
        document = {"told": self._told, "began": self._began, "pending": [asdict(notice) for notice in self._pending]}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        whole_files.replace(self._file, json.dumps(document).encode())


def _text(state: State, link: str) -> str:
    first = state.error or (state.held[0] if state.held else "")
    more = f" (and {len(state.held) - 1} more)" if not state.error and len(state.held) > 1 else ""
    said = f": {first}{more}" if first else ""
    return f"{state.scope} is {state.state} at {state.commit[:7]}{said}" + (f"; see {link}" if link else "")


def _send(channel: Mapping[str, Any], notices: Sequence[Notice]) -> None:
    headers = {}
    if "token" in channel:
        headers["Authorization"] = f"Bearer {secrets.resolve(channel['token']).reveal()}"
    if channel["kind"] == "webhook":
        _post(channel["url"], {"v": 1, "notices": [asdict(notice) for notice in notices]}, headers)
    elif channel["kind"] == "alertmanager":
        _post(f"{channel['url'].rstrip('/')}/api/v2/alerts", [_alert(notice) for notice in notices], headers)
    else:
        for notice in notices:
            url = f"{channel['url'].rstrip('/')}/repos/{channel['repository']}/statuses/{notice.commit}"
            _post(url, _commit_status(notice), {**headers, "Accept": "application/vnd.github+json"})


def _post(url: str, body: Any, headers: Mapping[str, str]) -> None:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(url, json=body, headers=dict(headers), timeout=TIMEOUT_S, allow_redirects=False)
    if not answer.ok:
        raise Permanent(f"{url}: {answer.status_code}: {one_line(answer.text, 100)}")


def _alert(notice: Notice) -> dict[str, Any]:
    good = notice.state in GOOD
    return {
        "labels": {"alertname": "ReconcilerScope", "env": notice.env, "scope": notice.scope, "severity": "warning"},
        "annotations": {"summary": notice.text, "state": notice.state, "commit": notice.commit},
        "startsAt": notice.since,
        **({"endsAt": notice.time} if good else {}),
    }


def _commit_status(notice: Notice) -> dict[str, Any]:
    state = {"in_sync": "success", "paused": "pending", "drifted": "pending"}.get(notice.state, "failure")
    return {"state": state, "context": f"mlab/{notice.scope}", "description": one_line(notice.text, 140)}
