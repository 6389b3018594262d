"""The approver against a real API server: who gets a certificate, how often, and what a kill leaves behind."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.epoxy.tokens import api as kubernetes
from services.epoxy.tokens import approver, bootstrap
from services.epoxy.tokens.metrics import ApproverMetrics
from tests import waiting
from tests.epoxy_tokens.lab import Lab, host, running
from tests.joining import REQUESTS, Wish, certificate, decision
from tests.serving import served

pytestmark = pytest.mark.xdist_group("epoxy-tokens")
APPROVED, DENIED = "Approved", "Denied"
PAST = {"stringData": {"expiration": "2026-01-01T00:00:00Z"}}
MERGE = {"Content_Type": kubernetes.MERGE_PATCH}


@contextlib.contextmanager
def following(api: kubernetes.Api) -> Iterator[ApproverMetrics]:
    """The approver's loop in a thread; a short watch lets it end soon."""
    stop, counted = threading.Event(), ApproverMetrics()
    thread = threading.Thread(target=approver.run, args=(api, counted, stop))
    thread.start()
    try:
        yield counted
    finally:
        stop.set()
        thread.join()
        api.close()


def quick(cell: Lab) -> kubernetes.Api:
    return cell.account(cell.accounts.approver, kubernetes.Limits(watch_s=1))


def once(cell: Lab, name: str, api: kubernetes.Api | None = None) -> None:
    """Let an approver decide one request."""
    document = cell.admin.call("GET", f"{REQUESTS}/{name}").json()
    approver.handle(api or cell.approver(), document, ApproverMetrics())


def asked(cell: Lab, token: str, node: str, **more: Any) -> str:
    return Wish(node, **more).file(cell.admin.as_bearer(token))


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    """Gives the address of a server with one answer to everything."""
    serving = ExitStack()

    def serve(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        serving.enter_context(served(server))
        return f"http://127.0.0.1:{server.server_port}"

    with serving:
        yield serve


def test_the_host_gets_its_certificate_and_its_tokens_are_deleted(cell: Lab) -> None:
    name = host(1, "apr01")
    earlier, token = cell.token(name), cell.token(name)
    with running(cell, "approve") as program:
        request = asked(cell, token, name)
        assert decision(cell.admin, request) == (APPROVED, "EpoxyJoined")
        assert certificate(cell.admin, request).startswith(b"-----BEGIN CERTIFICATE")
        waiting.until(lambda: not cell.secrets(name), "the tokens are deleted")
        joined = 'epoxy_approver_decisions_total{decision="Approved",reason="Joined"}'
        assert program.metric(joined) >= 1
        assert program.metric("epoxy_approver_last_sync_timestamp_seconds") > 0
        said = program.log.read_text()
    assert earlier not in said and token not in said and token.partition(".")[2] not in said


def test_another_name_than_the_token_s_host_is_refused_and_the_token_still_serves_its_host(cell: Lab) -> None:
    mine, other = host(1, "apr02"), host(2, "apr02")
    token, others = cell.token(mine), cell.token(other)
    with following(quick(cell)):
        refused = asked(cell, token, other)
        assert decision(cell.admin, refused) == (DENIED, "EpoxyOtherName")
        assert decision(cell.admin, asked(cell, others, mine)) == (DENIED, "EpoxyOtherName")
        assert decision(cell.admin, asked(cell, token, mine)) == (APPROVED, "EpoxyJoined")
    assert "certificate" not in cell.admin.call("GET", f"{REQUESTS}/{refused}").json()["status"]
    assert len(cell.secrets(other)) == 1


def test_a_token_that_expired_before_the_decision_gets_nothing(cell: Lab) -> None:
    name = host(1, "apr03")
    token = cell.token(name)
    request = asked(cell, token, name)
    secret = bootstrap.secret_name(token.partition(".")[0])
    cell.admin.call("PATCH", f"{bootstrap.PATH}/{secret}", PAST, **MERGE)
    once(cell, request)
    # The cluster's own cleaner may have been there before us.
    assert decision(cell.admin, request) in {(DENIED, "EpoxyTokenExpired"), (DENIED, "EpoxyTokenGone")}


def test_expired_tokens_are_swept_and_others_stay(cell: Lab) -> None:
    old, new = host(1, "apr04"), host(2, "apr04")
    made = bootstrap.new()
    # Without the type the cluster's own cleaner leaves it alone, as in a cluster where that controller does not run.
    past = bootstrap.manifest(made, old, datetime(2026, 1, 1, tzinfo=UTC))
    cell.token(new)
    assert cell.admin.call("POST", bootstrap.PATH, past).status_code == 201
    counted = ApproverMetrics()
    approver.sweep(cell.approver(), counted)
    assert cell.secrets(old) == [] and len(cell.secrets(new)) == 1
    assert counted.tokens._value.get() >= 1


def test_a_replay_is_refused_even_if_both_requests_waited(cell: Lab) -> None:
    name = host(1, "apr05")
    token = cell.token(name)
    requests = [asked(cell, token, name) for _ in range(2)]
    with following(quick(cell)):
        decided = [decision(cell.admin, request) for request in requests]
        assert sorted(decided)[0] == (APPROVED, "EpoxyJoined")
        assert sorted(decided)[1] in {(DENIED, "EpoxyTokenGone"), (DENIED, "EpoxyTokenUsed")}
        waiting.until(lambda: not cell.secrets(name), "the used token's Secret is deleted")
        # The API server remembers for some seconds whom it has let in; then it answers 401.
        late = cell.admin.as_bearer(token).call("POST", REQUESTS, Wish(name).document())
        if late.status_code != 401:
            assert decision(cell.admin, late.json()["metadata"]["name"]) == (DENIED, "EpoxyTokenGone")


def test_two_approvers_at_once_approve_each_token_once(cell: Lab) -> None:
    names = [host(number, "apr06") for number in range(1, 7)]
    requests = {name: [asked(cell, token, name) for _ in range(2)] for name in names for token in [cell.token(name)]}
    with following(quick(cell)), following(quick(cell)):
        for name in names:
            decided = sorted(decision(cell.admin, request)[0] for request in requests[name])
            assert decided == [APPROVED, DENIED], name
        # On a busy machine a deletion may time out after its approval; the next sweep makes it good.
        waiting.until(lambda: not any(cell.secrets(name) for name in names), "the tokens are deleted")


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


class Mortal(kubernetes.Api):
    """Dies at the n-th request, either before it or as soon as it was carried out."""

    lives = 0
    after = False

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> kubernetes.Answer:
        self.lives -= 1
        if self.lives < 0 and not self.after:
            raise Killed
        answer = super().call(method, path, body, **more)
        if self.lives < 0:
            raise Killed
        return answer


STEPS = ("read the token", "claim it", "approve", "list the host's tokens", "delete")
CLAIMED = 2
"""From here on the token is this request's."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(len(STEPS)), ids=STEPS)
def test_a_kill_at_any_step_is_made_good_by_the_next_start_and_admits_no_second_use(
    cell: Lab, step: int, after: bool
) -> None:
    name = host(1 + step, f"apr{71 + after}")
    token = cell.token(name)
    request = asked(cell, token, name)
    place = kubernetes.Place(cell.admin.url, cell.folder / "admin.ca", cell.accounts.approver)
    mortal = Mortal(place)
    mortal.lives, mortal.after = step, after
    with contextlib.suppress(Killed):
        once(cell, request, mortal)
        raise AssertionError("it was not killed")
    mortal.close()
    # Somebody who saw the token asks with it meanwhile, if it still opens anything.
    replay = cell.admin.as_bearer(token).call("POST", REQUESTS, Wish(name).document())
    assert replay.status_code in (201, 401)
    with following(quick(cell)):
        first = decision(cell.admin, request)[0]
        second = decision(cell.admin, replay.json()["metadata"]["name"])[0] if replay.status_code == 201 else DENIED
        waiting.until(lambda: not cell.secrets(name), "the token is deleted")
    if step + after >= CLAIMED:
        assert (first, second) == (APPROVED, DENIED)
    # Before that it is anybody's who holds the token, but one's only.
    assert sorted((first, second)) == [APPROVED, DENIED]


def test_a_node_renews_its_own_certificate_and_gets_no_other(cell: Lab, tmp_path_factory: Any) -> None:
    name, other = host(1, "apr08"), host(2, "apr08")
    with following(quick(cell)):
        wish = Wish(name)
        signed = certificate(cell.admin, wish.file(cell.admin.as_bearer(cell.token(name))))
        node = cell.admin.as_client(tmp_path_factory.mktemp("node"), signed, wish.private())
        assert decision(cell.admin, Wish(name).file(node)) == (APPROVED, "EpoxyRenewal")
        # The API server has a rule of its own against this; test_judge has what would happen without it.
        assert node.call("POST", REQUESTS, Wish(other).document()).status_code == 403


def test_what_others_ask_or_others_sign_is_left_to_them(cell: Lab) -> None:
    name = host(1, "apr09")
    by_hand = Wish(name).file(cell.admin)
    serving = asked(cell, cell.token(name), name, signer="example.test/serving", usages=("server auth",))
    for request in (by_hand, serving):
        once(cell, request)
        status = cell.admin.call("GET", f"{REQUESTS}/{request}").json()["status"]
        # The approver inside Kubernetes lets an administrator through.
        assert [one for one in status.get("conditions", ()) if one["reason"].startswith("Epoxy")] == []


class Unlucky(kubernetes.Api):
    """Its first watches fail in the given ways."""

    troubles: list[Exception]

    def watch(self, path: str, version: str, **query: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if self.troubles:
            raise self.troubles.pop()
        return super().watch(path, version, **query)


GONE = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n'
BROKEN = b'{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError"}}\n'


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (410, b"{}", kubernetes.Expired),
        (200, GONE, kubernetes.Expired),
        (200, BROKEN, kubernetes.Failed),
        (200, b'{"type":"ADDED","obj', kubernetes.Failed),
        (200, b"<html>\n", kubernetes.Failed),
        (403, b"{}", kubernetes.Failed),
    ],
)
def test_a_watch_ends_as_expired_or_failed(
    cell: Lab, answering: Callable[[int, bytes], str], status: int, body: bytes, error: type[Exception]
) -> None:
    place = kubernetes.Place(answering(status, body), Path(cell.admin.ca), cell.accounts.approver)
    with pytest.raises(error):
        list(kubernetes.Api(place).watch(REQUESTS, "1"))


def test_a_list_whose_snapshot_was_compacted_between_two_pages_is_known_as_expired(
    cell: Lab, answering: Callable[[int, bytes], str]
) -> None:
    place = kubernetes.Place(
        answering(410, b'{"kind":"Status","reason":"Expired"}'), Path(cell.admin.ca), cell.accounts.approver
    )
    with pytest.raises(kubernetes.Expired):
        kubernetes.Api(place).list(REQUESTS)


@pytest.mark.parametrize(
    "trouble", [kubernetes.Expired, lambda: kubernetes.Failed("watch", 0, "ConnectionError")], ids=["410", "lost"]
)
def test_a_watch_that_breaks_is_taken_up_again(cell: Lab, trouble: Callable[[], Exception]) -> None:
    name = host(1, "apr10")
    place = kubernetes.Place(cell.admin.url, cell.folder / "admin.ca", cell.accounts.approver)
    api = Unlucky(place, kubernetes.Limits(watch_s=1))
    api.troubles = [trouble(), trouble()]
    with following(api):
        waiting.until(lambda: not api.troubles, "the troubles are over")
        request = asked(cell, cell.token(name), name)
        assert decision(cell.admin, request) == (APPROVED, "EpoxyJoined")
        waiting.until(lambda: not cell.secrets(name), "the token is deleted")


class Stubborn(kubernetes.Api):
    """Cannot decide one request."""

    poison = ""
    refusals = 0

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> kubernetes.Answer:
        if method == "PUT" and f"/{self.poison}/" in path:
            self.refusals += 1
            return kubernetes.Answer(500, {"reason": "InternalError"})
        return super().call(method, path, body, **more)


def test_a_request_that_cannot_be_decided_keeps_no_other_waiting(cell: Lab) -> None:
    names = [host(number, "apr12") for number in (1, 2, 3)]
    requests = sorted(asked(cell, cell.token(name), name) for name in names)
    api = Stubborn(
        kubernetes.Place(cell.admin.url, cell.folder / "admin.ca", cell.accounts.approver),
        kubernetes.Limits(watch_s=1),
    )
    # Lists are in the order of names.
    api.poison = requests[0]
    with following(api) as counted:
        for request in requests[1:]:
            assert decision(cell.admin, request) == (APPROVED, "EpoxyJoined")
        waiting.until(lambda: api.refusals > 1, "the request is tried again")
        assert counted.failures._value.get() >= 1
        api.poison = ""
        assert decision(cell.admin, requests[0]) == (APPROVED, "EpoxyJoined")


def test_its_account_may_do_no_more_than_its_work(cell: Lab) -> None:
    mine = cell.approver()
    allowed = [
        mine.call("POST", bootstrap.PATH, {"metadata": {"name": "bootstrap-token-zzzzzz"}, "type": bootstrap.TYPE}),
        mine.call("GET", "/api/v1/namespaces/default/secrets"),
        mine.call("POST", REQUESTS, Wish(host(1, "apr11")).document()),
        mine.call("DELETE", "/api/v1/nodes/somebody"),
    ]
    assert [answer.status for answer in allowed] == [403] * len(allowed)
    serving = Wish(host(1, "apr11"), signer="example.test/serving").file(cell.admin)
    document = cell.admin.call("GET", f"{REQUESTS}/{serving}").json()
    condition = {"type": "Approved", "status": "True", "reason": "x", "message": "x"}
    refused = mine.call("PUT", f"{REQUESTS}/{serving}/approval", {**document, "status": {"conditions": [condition]}})
    assert refused.status == 403
