"""The stand-in for the fleet: answers for every name, and goes nowhere."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from services.local import standin, standin_fleet
from tests import waiting
from tests.faultproxy import closed_port
from tests.fleets import CHECKOUT

MACHINE = "mlab1-lga05.mlab-oti.measurement-lab.test"


@dataclass
class Running:
    proxy: str
    receiver: str
    process: subprocess.Popen[bytes]

    def get(self, url: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(url, proxies={"http": self.proxy}, timeout=60)

    def samples(self, url: str) -> dict[str, float]:
        answer = self.get(url)
        assert answer.status_code == 200, answer.text
        return {s.name: s.value for family in text_string_to_metric_families(answer.text) for s in family.samples}

    def control(self, **wishes: Any) -> requests.Response:
        return requests.post(f"{self.proxy}/control", json=wishes, timeout=60)


@pytest.fixture
def running() -> Iterator[Running]:
    ports = closed_port(), closed_port()
    command = [sys.executable, "-m", "services.local.standin"]
    addresses = [f"--proxy=127.0.0.1:{ports[0]}", f"--receiver=127.0.0.1:{ports[1]}"]
    process = subprocess.Popen([*command, *addresses], cwd=CHECKOUT)
    made = Running(f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", process)

    def healthy() -> bool:
        try:
            return requests.get(f"{made.receiver}/healthz", timeout=60).text == "ok\n"
        except requests.ConnectionError:
            return False

    waiting.until(healthy, "it answers", process=process)
    yield made
    process.terminate()
    assert process.wait(120) == 0


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (f"http://blackbox-service:9115/probe?target=ndt-{MACHINE}.:443&module=tcp_v4_tls_online",
         {"probe_success", "probe_duration_seconds", "probe_ssl_earliest_cert_expiry"}),
        (f"http://blackbox-service:9115/probe?target={MACHINE}:22&module=ssh_v4_online",
         {"probe_success", "probe_duration_seconds"}),
        (f"http://script-exporter:9172/probe?name=wehe_client&target={MACHINE}",
         {"script_success", "script_duration_seconds", "script_exit_code"}),
        ("http://reboot.test:443/v1/e2e?target=mlab1d-lga05.mlab-oti.measurement-lab.test",
         {"reboot_e2e_success", "reboot_e2e_result"}),
        ("http://switch-monitoring-service:8080/v1/check?target=s1-lga05.measurement-lab.test",
         {"switch_monitoring_config_match"}),
        ("http://192.168.3.4:9995/metrics", {"pusher_finder_mtime_lower_bound", "process_cpu_seconds_total"}),
        ("http://192.168.3.4:9990/metrics", {"ndt7_client_test_results_total", "lame_duck_experiment"}),
        ("http://192.168.3.4:9100/metrics", {"node_filesystem_avail_bytes", "node_boot_time_seconds"}),
        ("http://anything.example:1234/metrics", {"process_start_time_seconds"}),
    ],
)  # fmt: skip
def test_any_name_has_plausible_samples(url: str, names: set[str], running: Running) -> None:
    assert names <= running.samples(url).keys()


def test_answers_are_the_same_for_the_same_moment_and_differ_by_name() -> None:
    def text(host: str, now: float) -> str | None:
        asked = standin_fleet.question(f"http://{host}:9100/metrics")
        return standin_fleet.answer(asked, standin_fleet.Faults(), (), now)

    assert text("a.test", 1.8e9) == text("a.test", 1.8e9) != text("b.test", 1.8e9)


def test_counters_grow_and_certificates_never_come_close_to_their_end() -> None:
    def samples(url: str, now: float) -> dict[str, float]:
        text = standin_fleet.answer(standin_fleet.question(url), standin_fleet.Faults(), (), now)
        assert text is not None
        return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}

    host = "http://h:9990/metrics"
    counted = "process_cpu_seconds_total"
    assert samples(host, 1.8e9)[counted] < samples(host, 1.8e9 + 60)[counted]
    for day in range(200):
        now = 1.8e9 + day * 86_400
        probe = f"http://b:9115/probe?module=tcp_v4_tls_online&target={MACHINE}"
        left = samples(probe, now)["probe_ssl_earliest_cert_expiry"] - now
        assert 29 * 86_400 < left <= 90 * 86_400


def test_a_name_that_is_down_fails_its_probes_and_its_scrapes_until_it_is_healed(running: Running) -> None:
    probe = f"http://blackbox-service:9115/probe?target=ndt-iupui-{MACHINE}.:443&module=tcp_v4_tls_online"
    script = f"http://script-exporter:9172/probe?name=wehe_client&target={MACHINE}"
    node = f"http://kubernetes.default.svc:443/api/v1/nodes/{MACHINE}/proxy/metrics"
    assert running.samples(probe)["probe_success"] == 1
    assert running.control(down=[MACHINE]).json()["down"] == [MACHINE]
    assert running.samples(probe)["probe_success"] == 0
    assert running.samples(script) == {**running.samples(script), "script_success": 0, "script_exit_code": 2}
    assert running.get(node).status_code == 502
    assert running.get(f"http://{MACHINE}:9100/metrics").status_code == 502
    running.control(down=[])
    assert running.samples(probe)["probe_success"] == 1
    assert running.get(node).status_code == 200


def test_machines_that_were_asked_about_are_known_to_the_services_around_them(running: Running) -> None:
    running.samples(
        f"http://blackbox-service:9115/probe?target=ndt-iupui-mlab1v6-{MACHINE[6:]}:443&module=tcp_v6_online"
    )
    assert "epoxy_last_boot" in running.samples("http://epoxy-boot-api.mlab-oti.measurement-lab.test:9000/metrics")
    running.control(maintenance=[MACHINE])
    text = running.get("http://gmx.mlab-oti.measurement-lab.test:443/metrics").text
    assert f'gmx_machine_maintenance{{machine="{MACHINE}",node="{MACHINE}",site="lga05"}} 1' in text


def test_messages_of_alertmanager_are_kept_with_their_receiver(running: Running) -> None:
    message = {"version": "4", "status": "firing", "alerts": [{"labels": {"alertname": "A"}}]}
    assert requests.post(f"{running.receiver}/issues", json=message, timeout=60).status_code == 200
    (kept,) = requests.get(f"{running.receiver}/alerts", timeout=60).json()
    assert (kept["receiver"], kept["message"]) == ("issues", message)
    assert requests.get(f"{running.proxy}/control", timeout=60).json()["asked"]["alerts"] == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"alerts": 1}'])
def test_what_is_no_message_is_refused(body: bytes, running: Running) -> None:
    assert requests.post(f"{running.receiver}/issues", data=body, timeout=60).status_code == 400


@pytest.mark.parametrize("wishes", [[], {"up": []}, {"down": "x"}, {"down": [1]}])
def test_a_control_message_that_means_nothing_changes_nothing(wishes: Any, running: Running) -> None:
    answer = requests.post(f"{running.proxy}/control", data=json.dumps(wishes), timeout=60)
    assert answer.status_code == 400 and answer.text.startswith("/control: ")
    assert requests.get(f"{running.proxy}/control", timeout=60).json()["down"] == []


def raw(running: Running, request: bytes) -> bytes:
    port = int(running.proxy.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"CONNECT example.test:443 HTTP/1.1", b"405"),
        (b"PUT http://example.test/ HTTP/1.1", b"405"),
        (b"GET https://example.test/ HTTP/1.1", b"400"),
        (b"GET http:/// HTTP/1.1", b"400"),
        (b"DELETE /alerts HTTP/1.1", b"405"),
        (b"GET /nothing HTTP/1.1", b"404"),
        (b"nonsense", b"400"),
    ],
)
def test_what_it_does_not_do_it_says(request_line: bytes, status: bytes, running: Running) -> None:
    answer = raw(running, request_line + b"\r\nHost: example.test\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] == status
    assert requests.get(f"{running.proxy}/healthz", timeout=60).status_code == 200


def test_it_opens_no_connection_of_its_own(running: Running, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.5)
        port = trap.getsockname()[1]
        assert running.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
        with pytest.raises(TimeoutError):
            trap.accept()


@pytest.mark.parametrize("address", ["0.0.0.0:80", "example.test:80", "127.0.0.1", "127.0.0.1:0", "8.8.8.8:53"])
def test_it_listens_on_loopback_only(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        standin.main([f"--proxy={address}"])
    assert "loopback only" in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert standin.main([f"--proxy=127.0.0.1:{taken.getsockname()[1]}"]) == 1
    assert capsys.readouterr().err.startswith("standin: cannot listen: ")
