"""Extensions, against a real server that records what it was sent."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.epoxy import operations
from tests import epoxy_service, waiting
from tests.epoxy import authorities, machine
from tests.epoxy_service import Service
from tests.serving import served

NAMES = ("allocate_k8s_token", "bmc_store_password", "node_delete", "slow", "moved", "large", "gone", "other")


@dataclass
class Backend:
    """What arrived, and the service that passes it on."""

    service: Service
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
    asked: list[tuple[str, dict[str, str], bytes]]
    release: threading.Event

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
        if self.path == "/slow":
            type(self).release.wait(120)
        status = {"/moved": 302, "/gone": 404}.get(self.path, 200)
        content = b"x" * (2 << 20) if self.path == "/large" else b'{"token":"abcdef.0123456789abcdef"}'
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Location", "http://elsewhere.test/")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            pass  # the service gave up

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder: Path = tmp_path_factory.mktemp("extensions")
    handler: Any = type("Handler", (_Handler,), {"asked": [], "release": threading.Event()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    (folder / "token").write_text("token-of-the-extension-server\n")
    rows: dict[str, dict[str, Any]] = {
        name: {"url": f"http://127.0.0.1:{server.server_port}/{name}"} for name in NAMES if name != "other"
    }
    rows["allocate_k8s_token"] |= {"stages": ["stage3"], "token_file": str(folder / "token")}
    rows["node_delete"]["stages"] = ["done"]
    rows["slow"]["timeout_s"] = 0.3
    rows["dead"] = {"url": "http://127.0.0.1:9/"}
    (folder / "operations.json").write_text(json.dumps(rows))
    service = epoxy_service.Service(folder, *machine.PROXY, "--operations", str(folder / "operations.json")).start()
    with served(server):
        yield Backend(service, handler.asked)
        handler.release.set()
        service.kill()


def booting(backend: Backend, *operations: str) -> machine.Machine:
    made = machine.made(backend.service, Extensions=list(operations))
    assert made.stage1().status_code == 200
    return made


def test_the_extension_server_is_asked_as_by_the_original_with_a_body_beside(backend: Backend) -> None:
    host = booting(backend, "bmc_store_password")
    backend.asked.clear()
    answer = host.ask("bmc_store_password", data=b"secret", params={"p": "a&<b>"}, headers={"Content-Type": "text/x"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8" and "Location" not in answer.headers
    ((path, headers, body),) = backend.asked
    document = json.loads(body)
    assert (path, headers["content-type"]) == ("/bmc_store_password", "text/x")
    assert list(document["v1"]) == ["hostname", "ipv4_address", "ipv6_address", "last_boot", "raw_query"]
    assert document["v1"] | {"last_boot": ""} == {
        "hostname": host.name,
        "ipv4_address": host.address,
        "ipv6_address": "",
        "last_boot": "",
        "raw_query": "p=a%26%3Cb%3E",
    }
    seen = host.service.call("GET", f"/admin/v1/hosts/{host.name}").json()["observed"]
    assert document["v1"]["last_boot"] == document["v2"]["last_boot"] == seen["LastSessionCreation"]
    assert base64.b64decode(document["v2"]["body_base64"]) == b"secret"
    assert document["v2"]["address"] == host.address


def test_a_bearer_token_goes_to_the_server_that_asks_for_one_alone(backend: Backend) -> None:
    host = booting(backend, "bmc_store_password", "allocate_k8s_token")
    backend.asked.clear()
    host.ask("bmc_store_password")
    host.ask("stage2")
    host.ask("stage3")
    assert host.ask("allocate_k8s_token").json() == {"token": "abcdef.0123456789abcdef"}
    sent = {path: headers.get("authorization") for path, headers, _ in backend.asked}
    assert sent == {"/bmc_store_password": None, "/allocate_k8s_token": "Bearer token-of-the-extension-server"}
    assert "token-of-the-extension-server" not in backend.service.log.read_text()
    assert "abcdef.0123456789abcdef" not in backend.service.log.read_text()


@pytest.mark.parametrize(
    ("operation", "status"), [("gone", 404), ("dead", 502), ("moved", 502), ("large", 502), ("slow", 502)]
)
def test_what_a_backend_does_wrong_ends_in_one_status(backend: Backend, operation: str, status: int) -> None:
    host = booting(backend, operation)
    answer = host.ask(operation)
    assert answer.status_code == status
    assert "Location" not in answer.headers
    if status == 502:
        assert answer.content == b""
    if operation == "slow":  # what comes late is this test's, not the next one's
        waiting.until(lambda: [path for path, _, _ in backend.asked if path == "/slow"], "the backend was asked")


def test_an_operation_is_open_in_its_own_stages_alone(backend: Backend) -> None:
    host = booting(backend, "allocate_k8s_token", "node_delete")
    backend.asked.clear()
    assert host.ask("allocate_k8s_token").status_code == 403, "in stage1"
    host.ask("stage2")
    host.ask("stage3")
    assert [host.ask("allocate_k8s_token").status_code for _ in range(2)] == [200, 200]
    assert host.ask("node_delete").status_code == 403, "before the success"
    host.report()
    assert host.ask("allocate_k8s_token").status_code == 403, "after the success"
    assert host.ask("node_delete").status_code == 200
    host.stage1()
    assert [path for path, _, _ in backend.asked] == ["/allocate_k8s_token", "/allocate_k8s_token", "/node_delete"]


def test_only_operations_of_the_host_and_the_server_are_passed_on(backend: Backend) -> None:
    host, other = booting(backend, "gone", "bmc_store_password"), booting(backend, "gone")
    backend.asked.clear()
    base = host.urls["gone"].rpartition("/")[0]
    answer = host.call(f"{base}/unheard_of")
    assert (answer.status_code, answer.text) == (500, "Unknown Extension for operation: unheard_of\n")
    answer = other.call(f"{other.urls['gone'].rpartition('/')[0]}/bmc_store_password")
    assert (answer.status_code, backend.asked) == (403, [])


def test_each_side_may_want_to_know_the_other(tmp_path: Path) -> None:
    handler: Any = type("Handler", (_Handler,), {"asked": [], "release": threading.Event()})
    chain = authorities.serve(tmp_path, "backend", "extensions")
    trusted = authorities.trust(tmp_path, "extensions")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=trusted)
    context.load_cert_chain(chain, chain.with_suffix(".key"))
    context.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    row = {"url": f"https://127.0.0.1:{server.server_port}/", "ca": str(trusted)}
    shown = {"certificate": str(chain), "key": str(chain.with_suffix(".key"))}
    rows = {"known": row | shown, "unknown": row, "other_ca": {"url": row["url"], **shown}}
    (tmp_path / "operations.json").write_text(json.dumps(rows))
    service = epoxy_service.Service(tmp_path, *machine.PROXY, "--operations", str(tmp_path / "operations.json"))
    with served(server):
        try:
            host = booting(Backend(service.start()), *rows)
            assert [host.ask(name).status_code for name in rows] == [200, 502, 502]
            assert len(handler.asked) == 1
        finally:
            service.kill()
        server.server_close()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[]", "object of operations"),
        ("{", "not JSON"),
        ('{"A": {"url": "http://a.test/"}}', "name must match"),
        ('{"a": {}}', "object with url"),
        ('{"a": {"url": "ftp://a.test/"}}', "absolute http"),
        ('{"a": {"url": 5}}', "url"),
        ('{"a": {"url": "http://a.test/", "timeout_s": 301}}', "timeout_s"),
        ('{"a": {"url": "http://a.test/", "stages": ["stage9"]}}', "stages"),
        ('{"a": {"url": "http://a.test/", "token_file": "/no/such"}}', "token_file must be a file"),
        ('{"a": {"url": "http://a.test/", "key": "/etc/hostname"}}', "belong together"),
        ('{"a": {"url": "http://a.test/", "more": 1}}', "object with url"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_line(tmp_path: Path, table: str, said: str) -> None:
    path = tmp_path / "operations.json"
    path.write_text(table)
    with pytest.raises(ValueError, match=said) as caught:
        operations.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_table_that_changes_is_taken_up_and_a_wrong_one_changes_nothing(backend: Backend) -> None:
    path = backend.service.directory / "operations.json"
    before = path.read_text()
    host = machine.made(backend.service, Extensions=["dead", "new"])

    def offered() -> set[str]:
        answer = backend.service.call("GET", f"/admin/v1/hosts/{host.name}/explain").json()
        return set(answer["operations"]["told"])

    assert offered() == {"dead"}
    try:
        path.write_text(json.dumps({"new": {"url": "http://127.0.0.1:9/"}}))
        waiting.until(lambda: offered() == {"new"}, "the new table is taken up", told=offered)
        path.write_text("{")
        refused = "operations not taken up"
        # The file is looked at when somebody asks.
        waiting.until(
            lambda: offered() == {"new"} and refused in backend.service.log.read_text(), "the wrong table is refused"
        )
    finally:
        path.write_text(before)
    waiting.until(lambda: offered() == {"dead"}, "the former table is taken up", told=offered)
