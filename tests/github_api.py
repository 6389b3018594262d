"""GitHub's REST API as far as we use it, faithfully: pages with `Link`, limits with their headers, 401, 403, 404, 422.

What a token may do is part of it: a workflow's job that lacks a permission is refused as GitHub refuses it.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.serving import served

REPOSITORY = "m-lab/fleet"
BOT = "github-actions[bot]"
MAX_BODY = 65_536


@dataclass
class Hub:
    """The repository's state, and what its API is to do next. Permissions: token to `{"issues", "pull-requests"}`."""

    url: str = ""
    tokens: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    issues: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    faults: list[Callable[[str], tuple[int, dict[str, str], Any] | None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _next: int = 1

    def token(self, *permissions: str, login: str = BOT) -> str:
        """A new token that may write what is named; everybody may read."""
        name = f"token-{len(self.tokens)}-of-this-test-only"
        self.tokens[name] = (login, frozenset(permissions))
        return name

    def number(self) -> int:
        self._next += 1
        return self._next

    def pull(self) -> int:
        """A new pull request."""
        return int(self.issue("A change", "", "somebody", pull=True)["number"])

    def issue(
        self, title: str, body: str, login: str, labels: tuple[str, ...] = (), *, pull: bool = False
    ) -> dict[str, Any]:
        """A new issue."""
        number = self.number()
        made: dict[str, Any] = {
            "number": number,
            "title": title,
            "body": body,
            "state": "open",
            "user": {"login": login},
            "labels": [{"name": label} for label in labels],
            "html_url": f"https://github.test/{REPOSITORY}/issues/{number}",
        }
        if pull:
            made["pull_request"] = {"url": f"{self.url}/repos/{REPOSITORY}/pulls/{number}"}
        self.issues[number] = made
        return made

    def say(self, number: int, body: str, login: str = "somebody") -> dict[str, Any]:
        """A new comment."""
        comment = self.number()
        made = {
            "id": comment,
            "body": body,
            "user": {"login": login},
            "issue_url": f"{self.url}/repos/{REPOSITORY}/issues/{number}",
            "html_url": f"https://github.test/{REPOSITORY}/pull/{number}#issuecomment-{comment}",
            "issue": number,
        }
        self.comments[comment] = made
        return made

    def said(self, number: int, login: str = BOT) -> list[str]:
        """What somebody said there."""
        return [c["body"] for c in self.comments.values() if c["issue"] == number and c["user"]["login"] == login]

    def fail_once(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """The next call is answered so."""

        def fault(call: str) -> tuple[int, dict[str, str], Any] | None:
            self.faults.remove(fault)
            return status, dict(headers or {}), {"message": message}

        self.faults.append(fault)

    def rate_limit(self, wait_s: int = 1, now: float | None = None) -> None:
        """The next call exceeds the primary limit."""
        reset = str(int(time.time() if now is None else now) + wait_s)
        self.fail_once(403, "API rate limit exceeded", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status, self.document = status, {"message": message, **({"errors": errors} if errors else {})}


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            """Nothing is printed."""

        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            headers: dict[str, str] = {}
            with hub.lock:
                hub.calls.append(f"{self.command} {self.path}")
                failed = hub.faults[0](self.path) if hub.faults else None
                try:
                    if failed is not None:
                        status, headers, document = failed
                    else:
                        status, headers, document = _answer(hub, self.command, self.path, dict(self.headers), body)
                except Refused as refused:
                    status, document = refused.status, refused.document
            data = json.dumps(document).encode()
            self.send_response(status)
            for key, value in {"Content-Type": "application/json; charset=utf-8", **headers}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _serve

    return Handler


def _answer(
    hub: Hub, method: str, target: str, headers: Mapping[str, str], body: Mapping[str, Any]
) -> tuple[int, dict[str, str], Any]:
    token = headers.get("Authorization", "").removeprefix("Bearer ")
    if token not in hub.tokens:
        raise Refused(401, "Bad credentials")
    login, permissions = hub.tokens[token]
    parts = urlsplit(target)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    prefix = f"/repos/{REPOSITORY}/"
    if not parts.path.startswith(prefix):
        raise Refused(404, "Not Found")
    path = parts.path.removeprefix(prefix)
    if method == "GET":
        return _listed(hub, path, query, target)
    found = re.fullmatch(r"issues/comments/(\d+)", path)
    if found and method == "PATCH":
        comment = hub.comments.get(int(found[1])) or _absent()
        _permit(permissions, pull="pull_request" in hub.issues[comment["issue"]])
        comment["body"] = _body(body)
        return 200, {}, comment
    found = re.fullmatch(r"issues/(\d+)/comments", path)
    if found and method == "POST":
        issue = hub.issues.get(int(found[1])) or _absent()
        _permit(permissions, pull="pull_request" in issue)
        return 201, {}, hub.say(issue["number"], _body(body), login)
    found = re.fullmatch(r"issues/(\d+)", path)
    if found and method == "PATCH":
        issue = hub.issues.get(int(found[1])) or _absent()
        _permit(permissions, pull="pull_request" in issue)
        if "body" in body:
            issue["body"] = _body(body)
        if body.get("state", "open") not in ("open", "closed"):
            raise Refused(422, "Validation Failed", [{"field": "state", "code": "invalid"}])
        issue.update({key: body[key] for key in ("title", "state", "state_reason") if key in body})
        return 200, {}, issue
    if path == "issues" and method == "POST":
        _permit(permissions, pull=False)
        if not body.get("title"):
            raise Refused(422, "Validation Failed", [{"field": "title", "code": "missing_field"}])
        return 201, {}, hub.issue(body["title"], _body(body), login, tuple(body.get("labels", ())))
    raise Refused(404, "Not Found")


def _listed(hub: Hub, path: str, query: Mapping[str, str], target: str) -> tuple[int, dict[str, str], Any]:
    found = re.fullmatch(r"issues/(\d+)/comments", path)
    if found:
        if int(found[1]) not in hub.issues:
            _absent()
        items = [c for c in hub.comments.values() if c["issue"] == int(found[1])]
    elif path == "issues":
        labels = set(filter(None, query.get("labels", "").split(",")))
        items = [
            issue
            for issue in hub.issues.values()
            if query.get("state", "open") in (issue["state"], "all")
            and labels <= {label["name"] for label in issue["labels"]}
        ]
        items.reverse()
    else:
        raise Refused(404, "Not Found")
    size, page = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
    headers = {}
    if page * size < len(items):
        following = urlencode({**query, "page": page + 1})
        headers["Link"] = f'<{hub.url}{urlsplit(target).path}?{following}>; rel="next"'
    return 200, headers, items[(page - 1) * size : page * size]


def _permit(permissions: frozenset[str], *, pull: bool) -> None:
    if not permissions & ({"issues", "pull-requests"} if pull else {"issues"}):
        raise Refused(403, "Resource not accessible by integration")


def _body(body: Mapping[str, Any]) -> str:
    text = body.get("body")
    if not isinstance(text, str) or not text.strip():
        raise Refused(422, "Validation Failed", [{"field": "body", "code": "missing_field"}])
    if len(text) > MAX_BODY:
        raise Refused(422, "Validation Failed", [{"message": f"body is too long (maximum is {MAX_BODY} characters)"}])
    return text


def _absent() -> Any:
    raise Refused(404, "Not Found")


@contextmanager
def running() -> Iterator[Hub]:
    """The API on loopback until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    with served(server):
        yield hub
