"""The attack table: each row is refused, counted, and logged without a secret."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from services.epoxy import store
from tests import epoxy_service, waiting
from tests.epoxy import machine
from tests.epoxy_service import Service

OPERATION = "allocate_k8s_token"
UNUSED_ID = "AQEBAQEBAQEBAQEBAQEBAQEBAQE"
LONG = "a" * 400


@dataclass
class Scene:
    """A machine whose boot is in stage3, its ids of the boot before, and another machine that boots."""

    host: machine.Machine
    old: dict[str, str]
    other: machine.Machine


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("attacks")
    (folder / "objects").mkdir()
    (folder / "secret").write_text("outside of the bucket")
    operations: Path = folder / "operations.json"
    operations.write_text(json.dumps({OPERATION: {"url": "http://127.0.0.1:9/", "stages": ["stage3"]}}))
    more = ("--operations", str(operations), "--storage-prefix-url", f"file://{folder / 'objects'}")
    made = epoxy_service.Service(folder, *machine.PROXY, *more).start()
    yield made
    made.kill()


@pytest.fixture
def scene(service: Service) -> Scene:
    host, other = (machine.made(service, Extensions=[OPERATION]) for _ in range(2))
    host.stage1()
    old = dict(host.urls)
    for one in (host, other):
        one.stage1()
        one.ask("stage2")
        one.ask("stage3")
    return Scene(host, old, other)


def at(key: str, **more: Any) -> Callable[[Scene], requests.Response]:
    return lambda scene: scene.host.ask(key, **more)


def old(key: str) -> Callable[[Scene], requests.Response]:
    return lambda scene: scene.host.call(scene.old[key], data={"message": "success"})


def with_id(key: str, of: str) -> Callable[[Scene], requests.Response]:
    """Ask for `key` with the id of another stage."""

    def act(scene: Scene) -> requests.Response:
        identity = scene.host.urls[of].split("/")[4]
        return scene.host.call(re.sub(r"/[A-Za-z0-9_-]{27}/", f"/{identity}/", scene.host.urls[key]))

    return act


def others(key: str) -> Callable[[Scene], requests.Response]:
    """Our path with the other machine's id."""

    def act(scene: Scene) -> requests.Response:
        identity = scene.other.urls[key].split("/")[4]
        return scene.host.call(re.sub(r"/[A-Za-z0-9_-]{27}/", f"/{identity}/", scene.host.urls[key]))

    return act


def after(seconds: int, key: str) -> Callable[[Scene], requests.Response]:
    def act(scene: Scene) -> requests.Response:
        epoxy_service.age(scene.host.service, scene.host.name, seconds)
        return scene.host.ask(key, data={"message": "success"})

    return act


def done(key: str, **more: Any) -> Callable[[Scene], requests.Response]:
    def act(scene: Scene) -> requests.Response:
        assert scene.host.report().status_code == 204
        return scene.host.ask(key, **more)

    return act


def path(text: str, method: str = "POST", **more: Any) -> Callable[[Scene], requests.Response]:
    """A path as it is written, past what a client would clean; HOST and ID are filled in."""

    def act(scene: Scene) -> requests.Response:
        identity = scene.host.urls["report"].split("/")[4]
        filled = text.replace("HOST", scene.host.name).replace("ID", identity)
        asked = requests.Request(method, scene.host.service.url, **more).prepare()
        asked.url = scene.host.service.url + filled
        asked.headers["X-Forwarded-For"] = scene.host.address
        with requests.Session() as session:
            session.trust_env = False
            return session.send(asked, timeout=30, allow_redirects=False)

    return act


def repeated(key: str, times: int) -> Callable[[Scene], requests.Response]:
    def act(scene: Scene) -> requests.Response:
        beside = store.connect(scene.host.service.store_url)

        def change(state: Any) -> Any:
            uses = dict.fromkeys(("Stage3ID", "ReportID", "ExtensionID"), times)
            return dataclasses.replace(state, boot=dataclasses.replace(state.boot, uses=uses))

        beside.change([(scene.host.name, change)])
        beside.close()
        return scene.host.ask(key, data={"message": "error: again"})

    return act


ROWS: dict[str, tuple[Callable[[Scene], requests.Response], int, str]] = {
    "stage2 again after stage3": (at("stage2"), 403, "stage-over"),
    "stage2 after the success": (done("stage2"), 403, "stage-over"),
    "stage3 after the success": (done("stage3"), 403, "stage-over"),
    "a token after the success": (done(OPERATION), 403, "boot-over"),
    "an error report after the success": (done("report", data={"message": "error: x"}), 403, "boot-over"),
    "stage2 of an older boot": (old("stage2"), 403, "id"),
    "stage3 of an older boot": (old("stage3"), 403, "id"),
    "the report of an older boot": (old("report"), 403, "id"),
    "a token of an older boot": (old(OPERATION), 403, "id"),
    "stage3 of another host": (others("stage3"), 403, "id"),
    "the report of another host": (others("report"), 403, "id"),
    "a token of another host": (others(OPERATION), 403, "id"),
    "the report by the id of stage3": (with_id("report", "stage3"), 403, "id"),
    "stage3 by the id of the report": (with_id("stage3", "report"), 403, "id"),
    "a token by the id of stage3": (with_id(OPERATION, "stage3"), 403, "id"),
    "a token by the id of the report": (with_id(OPERATION, "report"), 403, "id"),
    "stage3 after 121 minutes": (after(7260, "stage3"), 403, "expired"),
    "the report after 121 minutes": (after(7260, "report"), 403, "expired"),
    "a token after 121 minutes": (after(7260, OPERATION), 403, "expired"),
    "stage3 of a boot from the future": (after(-3600, "stage3"), 403, "expired"),
    "stage3 after 150 repeats": (repeated("stage3", 151), 403, "repeats"),
    "a report after 150 repeats": (repeated("report", 151), 403, "repeats"),
    "a token after 150 repeats": (repeated(OPERATION, 151), 403, "repeats"),
    "stage1 from another address": (
        lambda s: s.host.call(s.host.path("stage1.ipxe"), address="198.18.200.1"),
        403,
        "address",
    ),
    "stage3 from another address": (lambda s: s.host.ask("stage3", address="198.18.200.1"), 403, "address"),
    "the report from another address": (lambda s: s.host.ask("report", address="198.18.200.1"), 403, "address"),
    "a token from another address": (lambda s: s.host.ask(OPERATION, address="198.18.200.1"), 403, "address"),
    "a forged hop before the real one": (
        lambda s: s.host.ask("stage3", address=f"{s.host.address}, 198.18.200.1"),
        403,
        "address",
    ),
    "a hop that is no address": (lambda s: s.host.ask("stage3", address="localhost"), 403, "address"),
    "eleven hops": (lambda s: s.host.ask("stage3", address=", ".join([s.host.address] * 11)), 403, "address"),
    "a forged Forwarded": (
        lambda s: s.host.ask(
            "stage3",
            address="198.18.200.1",
            headers={"Forwarded": f"for={s.host.address}", "X-Real-IP": s.host.address},
        ),
        403,
        "address",
    ),
    "an id that is a prefix": (path("/v1/boot/HOST/AQ/stage3"), 403, "id"),
    "an id with a trailing byte": (path("/v1/boot/HOST/IDx/report"), 403, "id"),
    "an id of NUL bytes": (path("/v1/boot/HOST/%00%00/stage3"), 403, "id"),
    "an id that is no UTF-8": (path("/v1/boot/HOST/%ff%fe/stage3"), 403, "id"),
    "an over-long id": (path(f"/v1/boot/HOST/{LONG}/stage3"), 403, "id"),
    "SQL as an id": (path("/v1/boot/HOST/'%20OR%201=1--/stage3"), 403, "id"),
    "SQL as a host": (path("/v1/boot/x'%20OR%20'1'='1/stage1.ipxe"), 404, "host-name"),
    "an over-long host": (path(f"/v1/boot/{LONG}/stage1.ipxe"), 404, "host-name"),
    "a host outside of ASCII": (path("/v1/boot/m%C3%BCnchen.test/stage1.ipxe"), 404, "host-name"),
    "a host with a line break": (path("/v1/boot/a%0aset%20x/stage1.ipxe"), 404, "host-name"),
    "a host in capitals": (path("/v1/boot/MLAB1-ABC01.TEST/stage1.ipxe"), 404, "host-unknown"),
    "iPXE settings as a host": (path("/v1/boot/$%7Bnet0%2fmac%7D/stage1.ipxe"), 404, "http-404"),
    "an encoded slash in a host": (path("/v1/boot/a%2fb/stage1.ipxe"), 404, "http-404"),
    "two slashes": (path("/v1/boot//HOST/stage1.ipxe"), 404, "http-404"),
    "a way upwards to another host": (path("/v1/boot/a/../HOST/stage1.ipxe"), 404, "http-404"),
    "a way upwards out of storage": (path("/v1/storage/../../../secret", "GET"), 404, "path"),
    "an encoded way upwards": (path("/v1/storage/%2e%2e/secret", "GET"), 404, "path"),
    "an encoded slash upwards": (path("/v1/storage/..%2fsecret", "GET"), 404, "path"),
    "a backslash upwards": (path("/v1/storage/..%5csecret", "GET"), 404, "path"),
    "an absolute path in storage": (path("/v1/storage//etc/passwd", "GET"), 404, "path"),
    "another host in storage": (path("/v1/storage/@evil.test/x", "GET"), 404, "path"),
    "media of no host": (path("/v1/media/nobody.test/snponly.efi", "GET"), 404, "host-unknown"),
    "an operation that nobody offers": (path("/v1/boot/HOST/ID/extension/shell"), 403, "id"),
    "an operation with a way upwards": (path("/v1/boot/HOST/ID/extension/..%2fadmin"), 404, "http-404"),
    "an operation with a query inside": (path("/v1/boot/HOST/ID/extension/a%3fb"), 403, "id"),
    "an over-long operation": (path(f"/v1/boot/HOST/ID/extension/{LONG}"), 403, "id"),
    "a declared body of 1 GB": (
        path("/v1/boot/HOST/stage1.ipxe", headers={"Content-Length": str(10**9)}),
        413,
        "body.too-large",
    ),
    "a body of 300 KB": (
        lambda s: s.host.call(s.host.path("stage1.ipxe"), data=b"a=" + b"b" * 300_000),
        413,
        "body.too-large",
    ),
    "a chunked body of 300 KB": (
        lambda s: s.host.call(s.host.path("stage1.ipxe"), data=(b"c" * 30_000 for _ in range(10))),
        413,
        "body.too-large",
    ),
    "a report of 300 KB": (at("report", data=b"message=" + b"b" * 300_000), 413, "body.too-large"),
    "an extension's body of 70 KB": (at(OPERATION, data=b"b" * 70_000), 413, "body.too-large"),
    "GET of a token": (path(f"/v1/boot/HOST/ID/extension/{OPERATION}", "GET"), 405, "http-405"),
    "the boot protocol without a record": (path("/v1/boot/nobody.test/ID/report"), 404, "host-unknown"),
}


@pytest.mark.parametrize("row", ROWS)
def test_an_attack_is_refused_counted_and_logged_without_a_secret(service: Service, scene: Scene, row: str) -> None:
    act, status, reason = ROWS[row]
    before, mark = _refused(service), service.log.stat().st_size
    shown_before = _record(scene.host)
    answer = act(scene)
    assert answer.status_code == status, answer.text
    counted = {key: value - before.get(key, 0) for key, value in _refused(service).items()}
    assert counted.get(reason) == 1, counted
    if "after the success" not in row:
        assert _record(scene.host) == shown_before, "nothing changed"
    with service.log.open("rb") as log:
        log.seek(mark)
        text = log.read().decode()
    ids = {url.split("/")[4] for one in (scene.host.urls, scene.old, scene.other.urls) for url in _secret(one)}
    assert [identity for identity in ids if identity in text or identity in answer.text] == []
    assert "Traceback" not in text


def _secret(urls: dict[str, str]) -> list[str]:
    return [url for key, url in urls.items() if key != "stage1chain"]


def _record(host: machine.Machine) -> Any:
    return host.service.call("GET", f"/admin/v1/hosts/{host.name}").json()


def _refused(service: Service) -> dict[str, float]:
    """Refusals so far by reason, over all routes."""
    found: dict[str, float] = {}
    text = service.call("GET", "/metrics", token=None).text
    for reason, value in re.findall(
        r'^epoxy_refused_total\{reason="([^"]+)",route="[^"]+"\} (\S+)$', text, re.MULTILINE
    ):
        found[reason] = found.get(reason, 0) + float(value)
    return found


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "Referer"])
def test_a_forged_name_of_the_server_is_in_no_url_of_a_boot(scene: Scene, header: str) -> None:
    answer = scene.host.call(scene.host.path("stage1.ipxe"), headers={header: "evil.test"}, data=machine.FORM)
    assert answer.status_code == 200
    urls = re.findall(r"https?://([^/\s]+)", answer.text)
    assert set(urls) == {"boot.test", "storage.googleapis.com"} and len(urls) == 5


INJECTED = [
    "'; DROP TABLE desired; --",
    "<script>alert(1)</script>",
    "${net0/mac} ; shell\nset stage1chain_url http://evil.test/",
    "$(reboot) `reboot` && reboot | reboot",
    "{{kargs `epoxy.stage3`}} %s %n %(x)s {0}",
    "\0\r\nSet-Cookie: a=b\x1b[2J",
    "𝕏" * 50,
]


@pytest.mark.parametrize("text", INJECTED)
def test_what_a_machine_says_ends_in_its_record_and_nowhere_else(scene: Scene, text: str) -> None:
    host = scene.host
    fields = {**dict.fromkeys(("platform", "serial", "mac", "version"), text), text: text}
    answer = host.call(host.path("stage1.ipxe"), data=fields)
    expected = re.sub(r"[A-Za-z0-9_-]{27}", "ID", answer.text)
    plain = re.sub(r"[A-Za-z0-9_-]{27}", "ID", scene.host.call(host.path("stage1.ipxe"), data=machine.FORM).text)
    assert answer.status_code == 200 and expected == plain, "the script is the same, whatever the machine says"
    host.stage1()
    host.ask("stage2")
    host.ask("stage3")
    assert host.report(f"error: {text}", **{"log.tail": text, "stage.times": text}).status_code == 204
    seen = _record(host)["observed"]
    assert seen["LastSuccess"].startswith("0001")
    boots = host.service.call("GET", f"/admin/v1/hosts/{host.name}/history").json()["boots"]
    told = boots[0]["reports"][0]["message"]
    assert "\0" not in told and "\r" not in told and "\x1b" not in told
    assert host.service.call("GET", f"/admin/v1/hosts/{scene.other.name}").status_code == 200
    assert text.splitlines()[0] not in host.service.log.read_text()


def test_ten_thousand_stage1_calls_for_one_host_begin_twenty_boots(service: Service) -> None:
    host = machine.made(service)
    with requests.Session() as session:
        session.trust_env = False
        session.headers["X-Forwarded-For"] = host.address
        url = service.url + host.path("stage1.ipxe")
        first = [session.post(url, timeout=30).status_code for _ in range(60)]
    request = (
        f"POST {host.path('stage1.ipxe')} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {host.address}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()
    address, port = service.address.split(":")

    def many(count: int) -> int:
        """Requests one after the other on a connection, sent in one go."""
        with socket.create_connection((address, int(port)), timeout=60) as connection:
            found = 0
            for _ in range(count // 50):
                connection.sendall(request * 50)
                answered, seen = 0, b""
                while answered < 50:
                    seen += connection.recv(65536)
                    answered = seen.count(b"HTTP/1.1 ")
                while not seen.endswith(b"Too many stage1 requests\n"):
                    seen += connection.recv(65536)
                found += seen.count(b"HTTP/1.1 429")
            return found

    with ThreadPoolExecutor(2) as pool:
        refused = sum(pool.map(many, [4950, 4950]))
    assert first.count(200) == 20 and first[20:] == [429] * 40
    assert refused == 9900
    boots = service.call("GET", f"/admin/v1/hosts/{host.name}/history").json()["boots"]
    assert len(boots) == 20
    other = machine.made(service)
    assert other.stage1().status_code == 200, "another host boots meanwhile"


def test_calls_from_elsewhere_use_none_of_a_hosts_boots_up(service: Service) -> None:
    host = machine.made(service)
    assert {host.call(host.path("stage1.ipxe"), address="198.18.200.7").status_code for _ in range(30)} == {403}
    assert host.stage1().status_code == 200


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"POST /v1/boot/a/stage1.ipxe HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 20_000, "large-head"),
        (b"POST /" + b"a" * 20_000, "malformed"),
        (b"".join(b"X%d: a\r\n" % n for n in range(100)).join([b"GET / HTTP/1.1\r\n", b"\r\n"]), "malformed"),
        (b"nonsense\r\n\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "malformed"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", "malformed"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", "malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "malformed"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_request_is_cut_and_counted(service: Service, sent: bytes, reason: str) -> None:
    before = _cut(service).get(reason, 0)
    address, port = service.address.split(":")
    with socket.create_connection((address, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        try:
            answer = connection.recv(100)
        except ConnectionResetError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer
    waiting.until(
        lambda: _cut(service).get(reason, 0) == before + 1, f"{reason} is counted", told=lambda: _cut(service)
    )


def _cut(service: Service) -> dict[str, float]:
    text = service.call("GET", "/metrics", token=None).text
    return {
        reason: float(value)
        for reason, value in re.findall(r'^epoxy_connections_cut_total\{reason="([^"]+)"\} (\S+)$', text, re.MULTILINE)
    }


def test_slow_heads_and_bodies_end_and_hold_nobody_up(tmp_path: Path) -> None:
    service = epoxy_service.Service(tmp_path, *machine.PROXY, "--head-seconds=3", "--body-seconds=5").start()
    try:
        _slowly(service, machine.made(service))
    finally:
        service.kill()


def _slowly(service: Service, host: machine.Machine) -> None:
    address, port = service.address.split(":")
    head = f"POST {host.path('stage1.ipxe')} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n".encode()
    slow = [socket.create_connection((address, int(port)), timeout=60) for _ in range(200)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(head if number % 2 else head + b"\r\nabc")
        assert host.stage1().status_code == 200, "while they all hold their connections"
        waiting.until(lambda: _cut(service).get("slow-head") == 100, "the heads are cut", told=lambda: _cut(service))
        waiting.until(lambda: _cut(service).get("slow-body") == 100, "the bodies are cut", told=lambda: _cut(service))
    finally:
        for connection in slow:
            connection.close()


def test_a_report_whose_upload_ends_early_is_no_report(service: Service, scene: Scene) -> None:
    before = _record(scene.host)
    address, port = service.address.split(":")
    with socket.create_connection((address, int(port)), timeout=30) as connection:
        connection.sendall(
            f"POST {scene.host.urls['report']} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {scene.host.address}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nmessage=success".encode()
        )
    waiting.until(lambda: _refused(service).get("body.incomplete", 0) >= 1, "an incomplete body is counted")
    assert _record(scene.host) == before
    assert scene.host.report().status_code == 204
