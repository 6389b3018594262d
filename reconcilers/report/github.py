"""GitHub's REST API as far as reports go: comments of a pull request, issues with a label. With `requests` alone.

Six calls do not need a client library that brings its own cryptography; what they need is here: every page of a list,
limits of rate honoured as the headers say, and one line for what was refused. The token is never part of a message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from reconcilers.core.errors import MlabError, Permanent, Temporary, one_line
from reconcilers.core.retry import Policy

MAX_BODY = 65_536
"""Characters of a comment or of an issue; one more is refused (422)."""
VERSION = "2022-11-28"
_TIMEOUT_S = 30.0
_PAGES = 100
"""More pages than this are an error of the server: ten thousand comments."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A comment or an issue: its number, whose it is, and what it says."""

    number: int
    author: str
    body: str
    title: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class GitHub:
    """One repository (`owner/name`). `clock` and the policy's sleep are the test's to set."""

    api: str
    repository: str
    token: str = field(repr=False)
    policy: Policy = field(default_factory=Policy)
    clock: Callable[[], float] = time.time

    def comments(self, number: int) -> Iterator[Entry]:
        """All comments of a pull request or issue, oldest first."""
        yield from map(_entry, self._pages(f"issues/{number}/comments", {}))

    def comment(self, number: int, body: str) -> Entry:
        """Add one."""
        return _entry(self._call("POST", f"issues/{number}/comments", body={"body": body}))

    def edit_comment(self, comment: int, body: str) -> Entry:
        """Replace what one says."""
        return _entry(self._call("PATCH", f"issues/comments/{comment}", body={"body": body}))

    def open_issues(self, label: str) -> Iterator[Entry]:
        """Open issues with a label; pull requests are issues to the API, and left out."""
        found = self._pages("issues", {"state": "open", "labels": label})
        yield from (_entry(issue) for issue in found if "pull_request" not in issue)

    def open_issue(self, title: str, body: str, label: str) -> Entry:
        """A new one."""
        return _entry(self._call("POST", "issues", body={"title": title, "body": body, "labels": [label]}))

    def edit_issue(self, number: int, **changes: str) -> Entry:
        """Change title, body or state (with `state_reason`)."""
        return _entry(self._call("PATCH", f"issues/{number}", body=changes))

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        answer = self._answer("GET", self._url(path), params={**query, "per_page": "100"})
        for _ in range(_PAGES):
            found = _json(answer)
            if not isinstance(found, list):
                raise Permanent(f"GitHub: {path}: the answer is no list")
            yield from found
            following = answer.links.get("next", {}).get("url")
            if following is None:
                return
            answer = self._answer("GET", following)
        raise Permanent(f"GitHub: {path}: more than {_PAGES} pages")

    def _call(self, method: str, path: str, *, body: Mapping[str, Any]) -> Mapping[str, Any]:
        found = _json(self._answer(method, self._url(path), json=dict(body)))
        if not isinstance(found, dict):
            raise Permanent(f"GitHub: {method} {path}: the answer is no object")
        return found

    def _url(self, path: str) -> str:
        return f"{self.api.rstrip('/')}/repos/{self.repository}/{path}"

    def _answer(self, method: str, url: str, **more: Any) -> requests.Response:
        tries = 0
        while True:
            tries += 1
            try:
                return self._once(method, url, **more)
            except Temporary as error:
                pause = self.policy.pause_s(tries, error)
                # A comment that was made although its answer got lost is found again by its marker in the next run.
                if pause is None:
                    raise
                self.policy.sleep(pause)

    def _once(self, method: str, url: str, **more: Any) -> requests.Response:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "X-GitHub-Api-Version": VERSION,
        }
        what = f"GitHub: {method} {url.partition('/repos/')[2] or url}"
        try:
            answer = requests.request(
                method, url, headers=headers, timeout=_TIMEOUT_S, allow_redirects=method == "GET", **more
            )
        except requests.RequestException as error:
            raise Temporary(f"{what}: {one_line(str(error))}") from None
        if answer.ok:
            return answer
        raise self._refusal(answer, what)

    def _refusal(self, answer: requests.Response, what: str) -> MlabError:
        said = _said(answer)
        line = f"{what}: {answer.status_code} {said}"
        if answer.status_code >= 500:
            return Temporary(line)
        if answer.status_code in (403, 429) and (wait_s := self._limited_s(answer, said)) is not None:
            return Temporary(f"{line}; allowed again in {wait_s:.0f} s", retry_after_s=wait_s)
        step = {
            401: "the token is not valid: set GITHUB_TOKEN",
            403: "the token lacks a permission: see `permissions` of the workflow's job",
            404: "there is no such thing, or the token may not see it",
        }.get(answer.status_code, "")
        return Permanent(f"{line}; {step}" if step else line)

    def _limited_s(self, answer: requests.Response, said: str) -> float | None:
        """How long to wait, if it is a limit of rate: the primary by its headers, the secondary by `Retry-After`."""
        after = answer.headers.get("Retry-After", "")
        if after.isdecimal():
            return float(after)
        if answer.headers.get("X-RateLimit-Remaining") == "0":
            reset = answer.headers.get("X-RateLimit-Reset", "")
            return max(0.0, float(reset) - self.clock()) + 1 if reset.isdecimal() else 60.0
        return 60.0 if answer.status_code == 429 or "rate limit" in said.lower() else None


def _entry(found: Mapping[str, Any]) -> Entry:
    try:
        number = found["number"] if "number" in found else found["id"]
        author = (found.get("user") or {}).get("login") or ""
        body, title = found.get("body") or "", found.get("title") or ""
        return Entry(int(number), str(author), str(body), str(title), str(found.get("html_url") or ""))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Permanent(f"GitHub: an entry without its number: {one_line(str(found), 80)}") from error


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise Temporary(f"GitHub: {answer.url}: the answer is no JSON") from error


def _said(answer: requests.Response) -> str:
    """The message with its details, in one line."""
    try:
        document = answer.json()
        details = [
            str(entry.get("message") or " ".join(str(entry.get(key, "")) for key in ("field", "code")))
            for entry in document.get("errors") or ()
            if isinstance(entry, dict)
        ]
        return one_line("; ".join([str(document.get("message", "")), *details]))
    except (ValueError, AttributeError):
        return one_line(answer.text)
