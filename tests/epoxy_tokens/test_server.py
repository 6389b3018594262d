"""The extension server as ePoxy calls it, against a real API server: paths, shapes, statuses, and what it lets out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.epoxy.tokens import api as kubernetes
from services.epoxy.tokens import bootstrap, call, callers
from services.local import certificates
from tests import epoxy_service
from tests.epoxy_tokens.lab import API_ADDRESS, Lab, Program, host, running, server_arguments
from tests.joining import REQUESTS, Wish

pytestmark = pytest.mark.xdist_group("epoxy-tokens")
TEXT, JSON, LEAVE = "/v1/allocate_k8s_token", "/v2/allocate_k8s_token", "/v1/node/delete"


@pytest.fixture(scope="module")
def program(cell: Lab) -> Iterator[Program]:
    with running(cell, "serve", *server_arguments(cell)) as made:
        yield made


def asking(name: str, ago: timedelta = timedelta(seconds=5), **more: Any) -> dict[str, Any]:
    """The body that ePoxy sends; Go writes nine decimals."""
    instant = (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%S.%f") + "789Z"
    fields = {"hostname": name, "ipv4_address": "198.18.5.11", "ipv6_address": "", "last_boot": instant}
    return {"v1": {**fields, "raw_query": "", **more}}


def sent(cell: Lab, program: Program, path: str, body: Any, method: str = "POST", **options: Any) -> requests.Response:
    """A call as ePoxy makes it, with the body as JSON text but another content type."""
    headers = {"Authorization": f"Bearer {cell.accounts.callers.read_text().strip()}"}
    options = {"headers": headers | {"Content-Type": "application/x-www-form-urlencoded"}, **options}
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return requests.request(method, f"http://{program.address}{path}", data=text, timeout=30, **options)


def test_a_machine_gets_what_the_original_s_scripts_read(cell: Lab, program: Program) -> None:
    name = host(1, "srv01")
    answer = sent(cell, program, JSON, asking(name))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert list(answer.json()) == ["api_address", "token", "ca_hash"]
    assert answer.json()["api_address"] == API_ADDRESS
    key = x509.load_pem_x509_certificate(Path(cell.admin.ca).read_bytes()).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert answer.json()["ca_hash"] == f"sha256:{hashlib.sha256(der).hexdigest()}"
    text = sent(cell, program, TEXT, asking(name))
    assert (text.status_code, text.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    tokens = [answer.json()["token"], text.text]
    assert all(re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token) for token in tokens) and tokens[0] != tokens[1]
    for token in tokens:
        assert cell.admin.as_bearer(token).call("POST", REQUESTS, Wish(name).document()).status_code == 201
        assert cell.admin.as_bearer(token).call("GET", "/api/v1/nodes").status_code == 403


def test_its_secret_lives_five_minutes_and_says_whose_it_is(cell: Lab, program: Program) -> None:
    name = host(1, "srv02")
    before = datetime.now(UTC)
    sent(cell, program, JSON, asking(name))
    (secret,) = cell.secrets(name)
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    expiry = datetime.fromisoformat(data["expiration"])
    assert timedelta(minutes=4, seconds=58) < expiry - before < timedelta(minutes=5, seconds=30)
    assert data["auth-extra-groups"] == bootstrap.GROUP and data["usage-bootstrap-signing"] == "true"
    assert data["description"] == f"Allow {name} to join the cluster"
    assert secret["metadata"]["annotations"][bootstrap.HOST] == name


GOOD = host(1, "srv03")


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("GET", lambda: asking(GOOD), 405),
        ("PUT", lambda: asking(GOOD), 405),
        ("POST", "", 400),
        ("POST", "not json", 400),
        ("POST", b"\xff\xfe", 400),
        ("POST", "[]", 400),
        ("POST", "[" * 20000, 400),
        ("POST", {"v1": None}, 400),
        ("POST", {"v2": {}}, 400),
        ("POST", {"v1": {"hostname": GOOD}}, 400),
        ("POST", lambda: asking(GOOD, last_boot="yesterday"), 400),
        ("POST", lambda: asking(GOOD, last_boot="2026-02-30T00:00:00Z"), 400),
        ("POST", lambda: asking(GOOD, last_boot=5), 400),
        ("POST", lambda: asking("mlab1"), 400),
        ("POST", lambda: asking("../nodes"), 400),
        ("POST", lambda: asking("mlab1-srv03.x\n.test"), 400),
        ("POST", lambda: asking("ſ.test"), 400),
        ("POST", lambda: asking(f"{'a' * 64}.test"), 400),
        ("POST", " " * 70000, 413),
        ("POST", lambda: asking(GOOD, ago=timedelta(minutes=121)), 408),
        ("POST", lambda: asking(GOOD, last_boot="0001-01-01T00:00:00Z"), 408),
        ("POST", lambda: asking(GOOD, ago=timedelta(minutes=100)), 200),
        ("POST", lambda: asking(GOOD) | {"v2": {"anything": 1}, "more": 2}, 200),
    ],
)
def test_statuses_are_the_original_s_and_errors_have_no_body(
    cell: Lab, program: Program, method: str, body: Any, status: int
) -> None:
    # A time of the table counts from now, which may be long after the table was read.
    answer = sent(cell, program, JSON, body() if callable(body) else body, method)
    assert answer.status_code == status
    assert (answer.content == b"") == (status != 200)


def test_the_front_page_and_metrics_need_no_token(cell: Lab, program: Program) -> None:
    assert sent(cell, program, JSON, asking(host(1, "srv10"))).status_code == 200
    assert requests.get(f"http://{program.address}/", timeout=60).text == "ePoxy Extensions"
    counted = 'allocate_k8s_token_request_duration_seconds_count{code="200",method="post"}'
    assert program.metric(counted) >= 1
    assert requests.get(f"http://{program.address}/unknown", timeout=60).status_code == 404


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic {}", "{}", "Bearer {} {}"])
@pytest.mark.parametrize("path", [TEXT, JSON, LEAVE])
def test_a_caller_without_the_token_gets_nothing(
    cell: Lab, program: Program, path: str, authorization: str | None
) -> None:
    token = cell.accounts.callers.read_text().strip()
    headers = {} if authorization is None else {"Authorization": authorization.format(token, token)}
    answer = sent(cell, program, path, asking(host(1, "srv04")), headers=headers)
    assert (answer.status_code, answer.content) == (401, b"")
    assert cell.secrets(host(1, "srv04")) == []


def test_only_the_named_peers_may_call() -> None:
    allowed = callers.configured("127.0.0.0/8,2001:db8::/32", None)
    for peer in ("127.0.0.1", "::ffff:127.0.0.1", "2001:db8::5"):
        allowed.check(peer, None)
    for peer in ("198.18.0.1", "::1", "2001:db9::5"):
        with pytest.raises(callers.Refused) as refused:
            allowed.check(peer, None)
        assert refused.value.status == 403


def test_a_host_that_asks_without_end_has_to_wait(cell: Lab, program: Program) -> None:
    answers = [sent(cell, program, JSON, asking(host(1, "srv05"))) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 300
    assert sent(cell, program, JSON, asking(host(2, "srv05"))).status_code == 200


def test_many_machines_at_once_each_get_a_token_of_their_own(cell: Lab, program: Program) -> None:
    names = [host(number % 4 + 1, f"st{number // 4:02d}t") for number in range(96)]

    def ask(name: str) -> requests.Response:
        return sent(cell, program, JSON, asking(name))

    with ThreadPoolExecutor(max_workers=24) as threads:
        answers = list(threads.map(ask, names))
    assert [answer.status_code for answer in answers] == [200] * len(names)
    owners = {answer.json()["token"].partition(".")[0]: name for name, answer in zip(names, answers, strict=True)}
    assert len(owners) == len(names)
    for name in names[::8]:
        (secret,) = cell.secrets(name)
        assert owners[secret["metadata"]["name"].rpartition("-")[2]] == name


def test_a_machine_deletes_its_own_node_even_days_after_it_booted(cell: Lab, program: Program) -> None:
    name, other = host(1, "srv06"), host(2, "srv06")
    for one in (name, other):
        assert cell.admin.call("POST", "/api/v1/nodes", {"metadata": {"name": one}}).status_code == 201
    body = asking(name, ago=timedelta(days=50))
    for _ in range(2):
        answer = sent(cell, program, LEAVE, body)
        assert (answer.status_code, answer.content) == (200, b"")
        assert cell.admin.call("GET", f"/api/v1/nodes/{name}").status_code == 404
    assert cell.admin.call("DELETE", f"/api/v1/nodes/{other}").ok


def test_its_account_may_make_tokens_and_read_nothing(cell: Lab) -> None:
    mine = cell.account(cell.accounts.server)
    name = bootstrap.secret_name("zzzzzz")
    refused = [
        mine.call("GET", bootstrap.PATH),
        mine.call("GET", f"{bootstrap.PATH}/{name}"),
        mine.call("DELETE", f"{bootstrap.PATH}/{name}"),
        mine.call("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": name}}),
        mine.call("GET", "/api/v1/nodes"),
        mine.call("GET", REQUESTS),
    ]
    assert [answer.status for answer in refused] == [403] * len(refused)


def test_nothing_that_is_secret_is_logged_or_seen_in_the_list_of_processes(cell: Lab, program: Program) -> None:
    query = "told=in-confidence"
    answer = sent(cell, program, JSON, asking(host(1, "srv07"), raw_query=query))
    mine = answer.json()["token"].partition(".")[2]
    hidden = [mine, query, cell.accounts.callers.read_text().strip()]
    hidden.append(cell.accounts.server.read_text().strip().rpartition(".")[2])
    assert program.lines("request")
    for text in (program.log.read_text(), epoxy_service.command_lines()):
        assert [secret for secret in hidden if secret in text] == []


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield "http://127.0.0.1:{}".format(*listener.getsockname()[1:2])


@contextmanager
def dripping() -> Iterator[str]:
    """A server that sends a byte now and then, for as long as anybody listens."""
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # nobody came before the end
            return
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield "http://127.0.0.1:{}".format(*listener.getsockname()[1:2])
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def closed() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = "http://127.0.0.1:{}".format(*listener.getsockname()[1:2])
    yield url


@pytest.mark.parametrize("api_server", [silent, dripping, closed])
def test_waiting_for_the_api_server_ends(cell: Lab, api_server: Callable[[], Any]) -> None:
    with api_server() as url:
        limits = kubernetes.Limits(connect_s=0.3, read_s=0.3, total_s=0.6)
        api = kubernetes.Api(kubernetes.Place(url, Path(cell.admin.ca), cell.accounts.server), limits)
        with pytest.raises(kubernetes.Failed) as failed:
            api.call("POST", bootstrap.PATH, {"stringData": {"described": "told-in-confidence"}})
        assert failed.value.status == 0 and "told-in-confidence" not in str(failed.value)
        api.close()


def test_without_an_api_server_the_answer_is_500_and_the_next_one_is_good_again(cell: Lab, tmp_path: Path) -> None:
    """The account's token is read anew for each request, as it must be where the kubelet renews it."""
    account = tmp_path / "account"
    words = (f"--token-file={account}", *server_arguments(cell))
    with running(cell, "serve", *words) as program:
        assert sent(cell, program, JSON, asking(host(1, "srv08"))).status_code == 500
        account.write_text("revoked\n")
        answer = sent(cell, program, JSON, asking(host(1, "srv08")))
        assert (answer.status_code, answer.content) == (500, b"")
        account.write_text(cell.accounts.server.read_text())
        assert sent(cell, program, JSON, asking(host(1, "srv08"))).status_code == 200


def test_with_a_client_authority_only_its_certificates_get_in(cell: Lab, tmp_path: Path) -> None:
    mine, foreign = (certificates.authority(tmp_path / name, name) for name in ("mine", "foreign"))
    serving = certificates.serving(mine, tmp_path, "extensions", ["127.0.0.1"])
    good, bad = (certificates.client(one, tmp_path, name, user="epoxy") for one, name in ((mine, "a"), (foreign, "b")))
    words = (
        f"--api-address={API_ADDRESS}",
        f"--tls-certificate={serving.certificate}",
        f"--tls-key={serving.key}",
        f"--client-ca={mine.pair.certificate}",
    )
    with running(cell, "serve", *words) as program:
        url, ca = f"https://{program.address}{JSON}", str(mine.pair.certificate)
        for identity in (None, (str(bad.certificate), str(bad.key))):
            with pytest.raises((requests.ConnectionError, ssl.SSLError)):
                requests.post(url, json=asking(host(1, "srv09")), verify=ca, cert=identity, timeout=60)
        identity = (str(good.certificate), str(good.key))
        answer = requests.post(url, json=asking(host(1, "srv09")), verify=ca, cert=identity, timeout=60)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--api-address=nowhere", "give HOST:PORT"),
        ("--peers=everybody", "give prefixes"),
        ("--listen=8800", "give ADDRESS:PORT"),
        ("--client-ca=/nowhere", "needs --tls-certificate"),
        ("--tls-key=/nowhere", "belong together"),
        ("--caller-token-file=/nowhere", "No such file"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_1(cell: Lab, word: str, said: str) -> None:
    words = ["serve", "--listen=127.0.0.1:0", f"--ca={cell.admin.ca}", f"--api-address={API_ADDRESS}", word]
    command = [sys.executable, "-m", "services.epoxy.tokens", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert said in done.stderr and "Traceback" not in done.stderr


def test_the_wire_form_ignores_what_it_does_not_know() -> None:
    now = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
    body = {"v1": {"hostname": GOOD, "last_boot": "2026-11-22T18:01:35.148998588Z", "raw_query": "p=a\u0026b=c"}}
    assert call.parse(body, now, max_age=call.MAX_AGE).host == GOOD
    with pytest.raises(call.TooLate):
        call.parse(body, now + timedelta(hours=2), max_age=call.MAX_AGE)
    assert call.parse(body, now + timedelta(days=9), max_age=None).host == GOOD
