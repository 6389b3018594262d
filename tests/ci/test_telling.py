"""`mlab ci comment` and `mlab ci drift-issue`, as a workflow's job runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconcilers.report import markdown
from tests import command, github_api
from tests.command import Done
from tests.github_api import BOT, REPOSITORY, Hub

Run = Callable[..., Done]
SANDBOX = markdown.plan_marker("sandbox")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with github_api.running() as found:
        yield found


@pytest.fixture
def run(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in an empty folder, with a token that may write comments and issues."""
    token = hub.token("pull-requests", "issues")

    def call(*words: object, **variables: str) -> Done:
        known = {"GITHUB_API_URL": hub.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": token}
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            for name, value in {**known, **variables}.items():
                patched.setenv(name, value)
            return command.mlab("ci", *map(str, words))

    return call


def told(run: Run, pull: int, about: str, text: str | None, folder: Path) -> Done:
    body = folder / "body.md"
    body.unlink(missing_ok=True)
    if text is not None:
        body.write_text(text)
    return run("comment", "--pull", pull, "--about", about, "--body", body, "--link", "https://github.test/run/1")


def test_a_comment_is_made_once_and_edited_only_when_it_changes(hub: Hub, run: Run, tmp_path: Path) -> None:
    pull = hub.pull()
    assert told(run, pull, "sandbox", f"{SANDBOX}\none", tmp_path).status == 0
    assert told(run, pull, "staging", f"{markdown.plan_marker('staging')}\nother", tmp_path).status == 0
    assert "says that already" in told(run, pull, "sandbox", f"{SANDBOX}\none", tmp_path).out
    done = told(run, pull, "sandbox", f"{SANDBOX}\ntwo", tmp_path)
    assert done.status == 0 and "edited" in done.out
    assert hub.said(pull) == [f"{SANDBOX}\ntwo", f"{markdown.plan_marker('staging')}\nother"]


def test_a_marker_in_somebody_elses_comment_is_not_ours(hub: Hub, run: Run, tmp_path: Path) -> None:
    pull = hub.pull()
    hub.say(pull, f"{SANDBOX}\nI quote it")
    hub.say(pull, f"Look: {SANDBOX}", BOT)
    assert told(run, pull, "sandbox", f"{SANDBOX}\nplan", tmp_path).status == 0
    assert hub.said(pull, "somebody") == [f"{SANDBOX}\nI quote it"]
    assert hub.said(pull) == [f"Look: {SANDBOX}", f"{SANDBOX}\nplan"]


def test_our_comment_is_found_behind_hundreds_of_others(hub: Hub, run: Run, tmp_path: Path) -> None:
    pull = hub.pull()
    for number in range(230):
        hub.say(pull, f"comment {number}")
    for text in ("one", "two"):
        assert told(run, pull, "sandbox", f"{SANDBOX}\n{text}", tmp_path).status == 0
    assert hub.said(pull) == [f"{SANDBOX}\ntwo"]


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_a_report_that_was_not_made_is_told_with_its_run(hub: Hub, run: Run, tmp_path: Path, text: str | None) -> None:
    pull = hub.pull()
    assert told(run, pull, "sandbox", text, tmp_path).status == 0
    assert hub.said(pull) == [f"{SANDBOX}\n### sandbox: no report was made; see [its run](https://github.test/run/1)"]


def test_a_text_above_the_limit_is_cut_and_never_refused(hub: Hub, run: Run, tmp_path: Path) -> None:
    pull = hub.pull()
    assert told(run, pull, "sandbox", f"{SANDBOX}\n{'é' * 70_000}", tmp_path).status == 0
    (body,) = hub.said(pull)
    assert len(body) <= markdown.BUDGET and body.endswith("_Cut._")


@pytest.mark.parametrize(
    ("words", "variables", "status", "said"),
    [
        (("comment", "--pull", "1"), {}, 1, "give --pull NUMBER, --about ENV"),
        (("comment", "--pull", "x"), {}, 1, "invalid int value"),
        (("comment", "--pull", "9", "--about", "diff", "--body", "b"), {"GITHUB_TOKEN": ""}, 1, "GITHUB_TOKEN is not"),
        (("comment", "--pull", "9", "--about", "diff", "--body", "b"), {"GITHUB_TOKEN": "x"}, 1, "401 Bad credentials"),
        (("comment", "--pull", "9", "--about", "diff", "--body", "b"), {"GITHUB_REPOSITORY": "x"}, 1, "which repo"),
        (("comment", "--pull", "9", "--about", "diff", "--body", "b"), {}, 1, "404 Not Found"),
        (("drift-issue", "--env", "sandbox"), {}, 1, "give --env ENV and --report FILE"),
        (("drift-issue", "--env", "sandbox", "--report", "none.json"), {}, 1, "no report of drift"),
    ],
)
def test_exit_statuses(run: Run, words: tuple[str, ...], variables: dict[str, str], status: int, said: str) -> None:
    done = run(*words, **variables)
    assert done.status == status and said in done.err and "Traceback" not in done.err, done.err


def report(folder: Path, *changes: str, complete: bool = True) -> Path:
    """What `mlab drift --out` writes for one scope."""
    scope: dict[str, Any] = {
        "scope": "sandbox/epoxy",
        "complete": complete,
        "policy": "report",
        "states": {"in_sync": 3, **({"drifted": len(changes)} if changes else {})} if complete else {"unknown": 1},
        "problems": [] if complete else ["connection refused"],
        "changes": [{"id": name, "state": "drifted", "fields": [["ImagesVersion"]]} for name in changes],
    }
    path = folder / "drift.json"
    path.write_text(json.dumps([{"env": "sandbox", "scopes": [scope]}]))
    return path


def issue(run: Run, path: Path) -> str:
    done = run("drift-issue", "--env", "sandbox", "--report", path)
    assert done.status == 0, done.err
    return done.out


def test_an_issue_is_opened_edited_and_closed(hub: Hub, run: Run, tmp_path: Path) -> None:
    assert "no issue is open" in issue(run, report(tmp_path))
    assert "opened" in issue(run, report(tmp_path, "Host/a"))
    assert "nothing new" in issue(run, report(tmp_path, "Host/a"))
    assert "edited" in issue(run, report(tmp_path, "Host/a", "Host/b"))
    (found,) = hub.issues.values()
    assert found["title"] == "sandbox: 2 resources drifted" and "drifted: `Host/b` (`ImagesVersion`)" in found["body"]
    assert "closed" in issue(run, report(tmp_path))
    assert found["state"] == "closed" and found["state_reason"] == "completed"
    assert "opened" in issue(run, report(tmp_path, "Host/c"))
    assert len(hub.issues) == 2


def test_what_could_not_be_observed_closes_nothing(hub: Hub, run: Run, tmp_path: Path) -> None:
    issue(run, report(tmp_path, "Host/a"))
    issue(run, report(tmp_path, complete=False))
    (found,) = hub.issues.values()
    assert found["state"] == "open" and found["title"] == "sandbox: 1 scope not observed"
    assert "not observed: connection refused" in found["body"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '[{"env": "staging", "scopes": []}]', '[{"env": "sandbox"}]']
)
def test_a_file_that_is_no_report_closes_nothing(hub: Hub, run: Run, tmp_path: Path, content: str) -> None:
    issue(run, report(tmp_path, "Host/a"))
    (tmp_path / "drift.json").write_text(content)
    done = run("drift-issue", "--env", "sandbox", "--report", tmp_path / "drift.json")
    assert done.status == 1 and "drift.json" in done.err
    assert [found["state"] for found in hub.issues.values()] == ["open"]
