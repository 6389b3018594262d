"""The client of GitHub's API against the stand-in: pages, limits of rate, refusals, and what is never in a message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconcilers.core.errors import MlabError, Permanent, Temporary
from reconcilers.core.retry import Policy
from reconcilers.report.github import MAX_BODY, GitHub
from tests import github_api
from tests.github_api import REPOSITORY, Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with github_api.running() as found:
        yield found


def client(hub: Hub, *permissions: str, pauses: list[float] | None = None) -> GitHub:
    """A client whose pauses take no time and are noted."""
    noted = pauses if pauses is not None else []
    return GitHub(hub.url, REPOSITORY, hub.token(*permissions), Policy(sleep=noted.append, random=lambda: 1.0))


def test_every_page_of_comments_is_read(hub: Hub) -> None:
    pull = hub.pull()
    for number in range(250):
        hub.say(pull, f"comment {number}")
    assert [entry.body for entry in client(hub).comments(pull)] == [f"comment {number}" for number in range(250)]
    assert sum(call.startswith("GET") for call in hub.calls) == 3


def test_a_comment_is_made_found_and_edited(hub: Hub) -> None:
    github, pull = client(hub, "pull-requests"), hub.pull()
    made = github.comment(pull, "first")
    assert github.edit_comment(made.number, "second").body == "second"
    assert [entry.body for entry in github.comments(pull)] == ["second"]


def test_issues_are_found_by_label_and_pull_requests_are_none(hub: Hub) -> None:
    github = client(hub, "issues")
    hub.pull()
    hub.issue("another", "", "somebody", ("bug",))
    made = github.open_issue("drift", "it drifted", "drift")
    assert [entry.number for entry in github.open_issues("drift")] == [made.number]
    github.edit_issue(made.number, state="closed", state_reason="completed")
    assert list(github.open_issues("drift")) == []


def test_the_primary_limit_is_waited_for_until_its_reset(hub: Hub) -> None:
    pauses: list[float] = []
    github, pull = client(hub, "pull-requests", pauses=pauses), hub.pull()
    hub.rate_limit(120, now=1_800_000_000.0)
    replace(github, clock=lambda: 1_800_000_000.25).comment(pull, "late")
    assert pauses == [120.75], "a second more than what is left"


@pytest.mark.parametrize(("status", "headers"), [(403, {"Retry-After": "7"}), (429, {"Retry-After": "7"})])
def test_the_secondary_limit_is_waited_for_as_it_says(hub: Hub, status: int, headers: dict[str, str]) -> None:
    pauses: list[float] = []
    github, pull = client(hub, "pull-requests", pauses=pauses), hub.pull()
    hub.fail_once(status, "You have exceeded a secondary rate limit", headers)
    github.comment(pull, "late")
    assert pauses == [7.0]


def test_a_limit_beyond_the_deadline_is_given_up_with_its_time(hub: Hub) -> None:
    github, pull = client(hub, "pull-requests"), hub.pull()
    hub.rate_limit(3600, now=1_800_000_000.0)
    policy = replace(github.policy, deadline=github.policy.clock() + 60)
    impatient = replace(github, policy=policy, clock=lambda: 1_800_000_000.0)
    with pytest.raises(Temporary, match="rate limit exceeded; allowed again in 3601 s"):
        impatient.comment(pull, "never")
    assert hub.said(pull) == []


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_is_tried_again(hub: Hub, status: int) -> None:
    github, pull = client(hub, "pull-requests"), hub.pull()
    hub.fail_once(status, "Server Error")
    assert github.comment(pull, "second try").body == "second try"


def test_a_server_that_stays_down_is_given_up_after_six_tries(hub: Hub) -> None:
    github = client(hub, "pull-requests")
    for _ in range(6):
        hub.fail_once(502, "Bad Gateway")
    with pytest.raises(Temporary, match="502 Bad Gateway"):
        github.comment(hub.pull(), "never")
    assert len(hub.calls) == 6


@pytest.mark.parametrize(
    ("permissions", "number", "body", "message"),
    [
        ((), None, "x", r"403 Resource not accessible by integration; the token lacks a permission"),
        (("issues", "pull-requests"), 999, "x", r"404 Not Found; there is no such thing"),
        (("pull-requests",), None, "", r"422 Validation Failed; body missing_field"),
        (("pull-requests",), None, "x" * (MAX_BODY + 1), r"422 Validation Failed; body is too long \(maximum is 65536"),
    ],
)
def test_a_refusal_is_one_line_that_says_why(
    hub: Hub, permissions: tuple[str, ...], number: int | None, body: str, message: str
) -> None:
    pull = hub.pull()
    with pytest.raises(Permanent, match=message) as caught:
        client(hub, *permissions).comment(number or pull, body)
    assert "\n" not in str(caught.value) and len(hub.calls) == 1


def test_a_comment_of_exactly_the_limit_is_taken(hub: Hub) -> None:
    github, pull = client(hub, "pull-requests"), hub.pull()
    assert len(github.comment(pull, "é" * MAX_BODY).body) == MAX_BODY


def test_a_wrong_token_is_refused_and_never_shown(hub: Hub) -> None:
    secret = "a-token-that-nobody-gave"  # pragma: allowlist secret
    github = replace(client(hub), token=secret)
    with pytest.raises(Permanent, match="401 Bad credentials") as caught:
        list(github.comments(1))
    assert secret not in str(caught.value) and secret not in repr(github)


def test_an_address_where_nobody_answers_is_temporary() -> None:
    github = GitHub("http://127.0.0.1:9", REPOSITORY, "token", Policy(tries=2, sleep=lambda pause: None))
    with pytest.raises(Temporary):
        list(github.comments(1))


@pytest.mark.parametrize("answer", [{"message": "odd"}, "text", [1, 2], [{"id": None}], None])
def test_an_answer_of_another_form_is_an_error_of_ours(hub: Hub, answer: object) -> None:
    hub.faults.append(lambda call: (200, {}, answer))
    with pytest.raises(MlabError):
        list(client(hub).comments(1))
