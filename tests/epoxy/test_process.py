"""The process: start, tokens, logs, metrics, a graceful end and a brutal one."""

from __future__ import annotations

import dataclasses
import http.client
import json
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from services.epoxy import store
from tests import epoxy_service, waiting
from tests.epoxy_service import ADMIN_TOKEN, READ_TOKEN, ROOT, Service, command_lines, name, record

HOSTS = "/admin/v1/hosts"
CREATE = {"If-None-Match": "*"}
FROZEN_METRICS = {
    "epoxy_last_boot": {"machine"},
    "epoxy_last_success": {"machine"},
    "epoxy_hosts": {"state"},
    "epoxy_store_up": set(),
    "epoxy_hosts_by_stage": {"stage"},
    "epoxy_unfinished_boot_age_seconds": {"stage"},
    "epoxy_boot_duration_seconds": {"le"},
    # No samples before the first boot, refusal, extension or TLS listener.
    "epoxy_stage1": set(),
    "epoxy_stage1_unannounced": set(),
    "epoxy_request_duration_seconds": set(),
    "epoxy_stage_transitions": set(),
    "epoxy_refused": set(),
    "epoxy_connections_cut": set(),
    "epoxy_extension_duration_seconds": set(),
    "epoxy_tls_connections": set(),
    "epoxy_tls_handshakes_failed": set(),
    "epoxy_certificate_not_after_seconds": set(),
    "epoxy_certificate_reload_failures": set(),
    "epoxy_http_requests": {"endpoint", "method", "code"},
    "epoxy_http_request_duration_seconds": {"endpoint", "method", "le"},
}


def test_no_acknowledged_write_is_lost_when_the_process_is_killed(service: Service) -> None:
    acknowledged: dict[str, str] = {}
    enough = threading.Event()

    def write(worker: int) -> None:
        for number in range(1000):
            host = name(number + 1, f"kil0{worker}")
            try:
                acknowledged[host] = service.create(record(host, ImagesVersion=f"v{number}"))
            except requests.RequestException:
                return
            if len(acknowledged) >= 40:
                enough.set()

    for round_ in range(2):
        writers = [threading.Thread(target=write, args=(round_ * 3 + worker,)) for worker in range(3)]
        for thread in writers:
            thread.start()
        assert enough.wait(60)
        enough.clear()
        service.kill()
        for thread in writers:
            thread.join()
        service.start()
        live = {h["desired"]["Name"]: h["etag"] for h in service.call("GET", f"{HOSTS}?limit=1000").json()["hosts"]}
        assert {host: live.get(host) for host in acknowledged} == acknowledged
    with sqlite3.connect(service.database) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_request_under_way_is_finished_after_the_signal_to_stop(service: Service) -> None:
    host = name(1, "end01")
    body = json.dumps(record(host)).encode()
    address, port = service.address.split(":")
    with socket.create_connection((address, int(port)), timeout=30) as connection:
        connection.sendall(
            f"PUT {HOSTS}/{host} HTTP/1.1\r\nHost: {service.address}\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n"
            f"If-None-Match: *\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100"), "the request is under way"
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        waiting.until(lambda: _refused(address, int(port)), "nobody listens any more")
        assert service.process.poll() is None
        connection.sendall(body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 201
        answer.read()
        answer.close()
    assert service.process.wait(120) == 0
    assert '"stopped"' in service.log.read_text().splitlines()[-1]
    service.start()
    assert service.call("GET", f"{HOSTS}/{host}").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_service_stops_with_status_0(service: Service, number: int) -> None:
    service.call("GET", "/healthz")
    assert service.stop(number) == 0


def test_a_new_token_counts_at_once_and_the_old_one_no_more(service: Service) -> None:
    new = "another-token-of-this-test"
    service.admin_token_file.write_text(f"{ADMIN_TOKEN}\n{new}\n")
    assert {service.call("GET", HOSTS, token=token).status_code for token in (ADMIN_TOKEN, new)} == {200}
    service.admin_token_file.write_text(f"{new}\n")
    assert service.call("GET", HOSTS).status_code == 401
    assert service.call("GET", HOSTS, token=new).status_code == 200


@pytest.mark.parametrize("content", [None, "", "short\n"])
def test_a_token_file_that_cannot_be_used_closes_the_door(service: Service, content: str | None) -> None:
    if content is None:
        service.admin_token_file.unlink()
    else:
        service.admin_token_file.write_text(content)
    answer = service.call("GET", HOSTS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "auth.unavailable")
    assert answer.headers["Retry-After"]
    assert service.call("GET", "/healthz").text == "ok"
    service.admin_token_file.write_text(ADMIN_TOKEN)
    assert service.call("GET", HOSTS).status_code == 200


def test_no_token_is_in_the_log_or_the_process_list(service: Service) -> None:
    tokens = (ADMIN_TOKEN, READ_TOKEN, "guessed-token-of-nobody")
    for token in tokens:
        service.call("GET", HOSTS, token=token)
        service.call("PUT", f"{HOSTS}/{name()}", token=token, data=f'{{"{token}": ', headers=CREATE)
        service.call("GET", f"{HOSTS}?access_token={token}", token=token)
    shown = command_lines()
    assert "services.epoxy" in shown
    service.stop()
    log = service.log.read_text()
    assert [token for token in tokens if token in log or token in shown] == []
    lines = [json.loads(line) for line in log.splitlines()]
    asked = [line for line in lines if line["message"] == "request"]
    assert len(asked) == 9
    assert {"time", "level", "method", "path", "status", "ms", "role", "peer"} <= set(asked[0])
    assert {line["role"] for line in asked} == {"admin", "reader", "none"}


def test_a_forged_line_break_in_a_path_stays_one_log_line(service: Service) -> None:
    service.call("GET", "/a%0A%7B%22level%22:%22error%22%7D%0A")
    service.stop()
    assert [json.loads(line)["message"] for line in service.log.read_text().splitlines()] == [
        "listening",
        "request",
        "stopped",
    ]


def test_metrics_keep_their_names_and_a_machine_that_never_booted_exports_0(service: Service) -> None:
    booted, never, retired = (name(number, "met01") for number in (1, 2, 3))
    service.create(record(booted))
    service.create(record(never))
    service.create(record(retired, Retired=True))
    beside = store.connect(service.store_url)
    epoxy_service.observe(
        beside,
        booted,
        lambda seen: dataclasses.replace(
            seen, last_session_creation_ns=1_700_000_000_250_000_000, last_success_ns=1_700_000_200_000_000_000
        ),
    )
    beside.close()
    answer = service.call("GET", "/metrics", token=None)
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    labels = {key: {label for sample in family.samples for label in sample.labels} for key, family in families.items()}
    assert labels == FROZEN_METRICS

    def values(metric: str, label: str) -> dict[str, float]:
        return {sample.labels[label]: sample.value for sample in families[metric].samples}

    assert values("epoxy_last_boot", "machine") == {booted: 1_700_000_000.25, never: 0.0}
    assert values("epoxy_last_success", "machine") == {booted: 1_700_000_200.0, never: 0.0}
    assert values("epoxy_hosts", "state") == {"active": 2.0, "retired": 1.0}
    assert 'epoxy_http_requests_total{code="201",endpoint="host",method="PUT"} 3.0' in answer.text


def test_many_paths_and_methods_make_no_new_series(service: Service) -> None:
    for number in range(5):
        service.call("GET", f"{HOSTS}/{name(1, f'ser0{number}')}")
        service.call("GET", f"/random/{number}")
        service.call(("PROPFIND", "SEARCH", "COPY", "MKCOL", "LOCK")[number], "/random")
    text = service.call("GET", "/metrics").text
    series = re.findall(r"^epoxy_http_requests_total\{(.*?)\} (\S+)$", text, re.MULTILINE)
    assert sorted(series) == [
        ('code="404",endpoint="host",method="GET"', "5.0"),
        ('code="404",endpoint="none",method="GET"', "5.0"),
        ('code="404",endpoint="none",method="other"', "5.0"),
    ]


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head(service: Service) -> None:
    took = []
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(20):
            begun = time.monotonic()
            assert session.get(service.url + "/healthz", timeout=30).text == "ok"
            took.append(time.monotonic() - begun)
    assert min(took) < 0.035, "40 ms is the delayed acknowledgement of TCP"


def test_a_store_that_does_not_answer_is_503_and_unhealthy_until_it_does(service: Service) -> None:
    with sqlite3.connect(service.database, isolation_level=None) as db:
        db.execute("ALTER TABLE revision RENAME TO away")
        for path in ("/healthz", f"{HOSTS}/{name()}"):
            if path == "/healthz":
                answer = service.call("GET", path)
            else:
                answer = service.call("PUT", path, json=record(), headers=CREATE)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store.unavailable")
            assert answer.headers["Retry-After"] == "1"
        db.execute("ALTER TABLE away RENAME TO revision")
    db.close()
    assert service.call("GET", "/healthz").text == "ok"
    service.create(record())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--store": "mysql://db/epoxy"}, "sqlite:///absolute/path"),
        ({"--store": "sqlite://host/path"}, "sqlite:///absolute/path"),
        ({"--store": "sqlite:////no/such/directory/epoxy.db"}, "unable to open"),
        ({"--admin-token-file": "/no/such/token"}, "/no/such/token"),
        ({"--listen": "127.0.0.1"}, "ADDRESS:PORT"),
        ({"--listen": "127.0.0.1:http"}, "ADDRESS:PORT"),
        ({"--listen": "127.0.0.1:70000"}, "ADDRESS:PORT"),
    ],
)
def test_a_service_that_cannot_start_says_why_in_one_line_and_exits_1(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    arguments = Service(tmp_path).arguments()
    for option, value in changed.items():
        arguments[arguments.index(option) + 1] = value
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert said in json.loads(line)["error"]


def test_a_database_of_a_newer_service_is_left_alone(tmp_path: Path) -> None:
    service = Service(tmp_path)
    with sqlite3.connect(service.database) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(store.StoreError, match="newer"):
        store.connect(service.store_url)


def _refused(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=60):
            return False
    except ConnectionRefusedError:
        return True
