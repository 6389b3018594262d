"""The cluster as a witness of stage1: a healthy node that nobody rebooted does not boot."""

from __future__ import annotations

import dataclasses
import http.server
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.epoxy import beginning, presence
from services.epoxy.presence import Presence, Rule
from tests import epoxy_service
from tests.epoxy import machine, test_sessions
from tests.serving import served

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def node(ready: str = "True", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
    return {"kind": "Node", "spec": spec, "status": {"conditions": conditions}}


def lease(age_s: float, now: datetime = NOW) -> dict[str, Any]:
    renewed = (now - timedelta(seconds=age_s)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"kind": "Lease", "spec": {"renewTime": renewed}}


@pytest.mark.parametrize(
    ("found", "renewed", "expected"),
    [
        (node(), lease(5), Presence.HEALTHY),
        (node(), lease(25), Presence.HEALTHY),
        (node(), lease(26), Presence.AWAY),
        (node(), {}, Presence.AWAY),
        (node("False"), lease(5), Presence.AWAY),
        (node("Unknown"), lease(5), Presence.AWAY),
        (node(unschedulable=True), lease(5), Presence.ANNOUNCED),
        ({"status": {}}, lease(5), Presence.AWAY),
    ],
)
def test_a_fresh_lease_of_a_ready_node_speaks_against_a_reboot(
    found: dict[str, Any], renewed: dict[str, Any], expected: Presence
) -> None:
    assert presence.judge(found, renewed, NOW) is expected


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("seen", list(Presence))
def test_only_a_healthy_machine_is_denied_and_only_where_the_rule_says_so(rule: Rule, seen: Presence) -> None:
    assert test_sessions.ADDRESS is not None
    call = beginning.Call(
        "ipxe", test_sessions.ADDRESS, test_sessions.BEGAN_NS, test_sessions.IDS, rule=rule, seen=seen
    )
    if rule is Rule.DENY and seen is Presence.HEALTHY:
        assert "healthy" in test_sessions.refused_text(lambda: beginning.begin(test_sessions.state(), call))
    else:
        assert beginning.begin(test_sessions.state(), call).boot is not None
    unasked = dataclasses.replace(call, seen=None)
    if rule is Rule.IGNORE:
        beginning.begin(test_sessions.state(), unasked)
    else:
        with pytest.raises(beginning.Unasked):
            beginning.begin(test_sessions.state(), unasked)


@dataclass
class Cluster:
    """Answers for nodes and leases, over HTTP on loopback; `status` other than 200 is said to everything."""

    healthy: set[str] = field(default_factory=set)
    status: int = 200
    asked: list[str] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            name = self.path.rsplit("/", 1)[1]
            body = node() if "/nodes/" in self.path else lease(1, datetime.now(UTC))
            status = made.status if made.status != 200 or name in made.healthy else 404
            content = json.dumps(body if status == 200 else {"kind": "Status", "reason": "x"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    with served(server):
        yield made


@pytest.mark.parametrize("rule", ["log", "deny"])
def test_a_healthy_machine_that_asks_to_boot_is_counted_and_by_the_rule_denied(
    cluster: Cluster, tmp_path: Path, rule: str
) -> None:
    (tmp_path / "account").write_text("token-of-the-account")
    (tmp_path / "ca").write_text("")
    options: tuple[str, ...] = (
        "--cluster-server",
        f"http://127.0.0.1:{cluster.port}",
        "--cluster-ca",
        str(tmp_path / "ca"),
    )
    options += ("--cluster-token-file", str(tmp_path / "account"), "--when-healthy", rule)
    service = epoxy_service.Service(tmp_path, *machine.PROXY, *options).start()
    try:
        host, other = machine.made(service), machine.made(service)
        assert host.stage1().status_code == 200, "not yet in the cluster"
        cluster.healthy.add(host.name)
        answer = host.stage1()
        assert answer.status_code == (403 if rule == "deny" else 200)
        text = service.call("GET", "/metrics", token=None).text
        assert f'epoxy_stage1_unannounced_total{{machine="{host.name}",rule="{rule}"}} 1.0' in text
        service.call("PUT", f"/admin/v1/hosts/{host.name}/next-boot", json={"sequence": "boot"})
        assert host.stage1().status_code == 200, "an order for the next boot announces it"
        assert other.stage1().status_code == 200
        asked = len(cluster.asked)
        assert host.call(host.path("stage1.ipxe"), address="198.18.200.9").status_code == 403
        assert len(cluster.asked) == asked, "the cluster is not asked for callers from elsewhere"
        cluster.status = 500
        service.call("DELETE", f"/admin/v1/hosts/{host.name}/next-boot")
        assert host.stage1().status_code == 200, "a cluster that does not answer stops nobody"
        assert "token-of-the-account" not in service.log.read_text()
    finally:
        service.kill()
