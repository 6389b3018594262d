"""Drift, locks, other writers, and what a loop tells of them."""

from __future__ import annotations

import http.server
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import fleets, waiting
from tests.e2e.checkout import Checkout
from tests.loop import edits
from tests.loop.process import Running
from tests.serving import served

pytestmark = pytest.mark.xdist_group("loop")
Start = Callable[..., Running]


def test_drift_is_healed_or_reported_as_the_environment_says(light: Checkout, loop: Start) -> None:
    running = loop()
    head = edits.head(light)
    running.until(lambda: running.settled(head))
    edits.edit_bucket(light)
    try:
        running.until(lambda: running.scope("buckets")["state"] == "drifted")
        assert running.metric("mlab_reconcile_resources", scope="buckets", state="drifted") == 1
        assert running.metric("mlab_reconcile_blocked_changes", scope="buckets", reason="policy") == 1
        assert "drift is reported here" in running.scope("buckets")["held"][0]
        edits.Registry(light).delete()
        running.until(lambda: edits.Registry(light).host().status_code == 200)
        assert running.metric("mlab_reconcile_resources", scope="buckets", state="drifted") == 1
    finally:
        edits.mend_bucket(light)
    running.until(lambda: running.settled(head))


def test_a_pause_keeps_the_loop_off_a_scope_until_somebody_ends_it(light: Checkout, loop: Start) -> None:
    running = loop()
    head = edits.head(light)
    running.until(lambda: running.settled(head))
    paused = light.mlab("pause", "sandbox/epoxy", "--reason", "the registry moves", "--for", "10m")
    assert paused.status == 0, paused.err
    try:
        running.until(lambda: running.scope("epoxy")["state"] == "paused")
        assert "the registry moves" in running.scope("epoxy")["held"][0]
        assert running.metric("mlab_reconcile_paused", scope="epoxy") == 1
        left_s = running.metric("mlab_reconcile_pause_expires_timestamp_seconds", scope="epoxy") - time.time()
        assert 0 < left_s <= 600
        before = edits.Registry(light).revision()
        released = edits.release(light, "v2.1.11")
        running.until(lambda: running.scope("buckets")["applied"] == released)
        running.until(lambda: running.scope("epoxy")["commit"] == released)
        assert running.scope("epoxy")["state"] == "paused" and edits.Registry(light).revision() == before
    finally:
        assert light.mlab("resume", "sandbox/epoxy").status == 0
    running.until(lambda: running.settled(released))
    assert edits.Registry(light).release() == "v2.1.11"
    assert running.metric("mlab_reconcile_paused", scope="epoxy") == 0


def test_a_resource_that_is_changed_back_again_and_again_is_left_alone(light: Checkout, loop: Start) -> None:
    running = loop()
    head = edits.head(light)
    running.until(lambda: running.settled(head))
    registry = edits.Registry(light)
    for _ in range(3):
        registry.delete()
        running.until(lambda: registry.host().status_code == 200)
        running.until(lambda: running.settled(head))
    registry.delete()
    running.until(lambda: running.scope("epoxy")["state"] == "blocked")
    assert running.metric("mlab_reconcile_oscillating_resources", scope="epoxy") == 1
    assert "healed three times within an hour" in running.scope("epoxy")["held"][0]
    passes = running.metric("mlab_reconcile_runs_total", scope="epoxy", phase="observe")
    running.until(lambda: running.metric("mlab_reconcile_runs_total", scope="epoxy", phase="observe") > passes + 2)
    assert registry.host().status_code == 404, "it is not healed a fourth time"


def test_a_loop_whose_lock_was_taken_over_while_it_hung_writes_nothing_more(light: Checkout, loop: Start) -> None:
    quiet = loop(name="quiet")
    quiet.until(lambda: quiet.settled(edits.head(light)))
    quiet.stop()
    log = quiet.state / "points"
    measured = loop("--target", "epoxy", name="measured", MLAB_FAULT_LOG=str(log))
    second = edits.release(light, "v2.1.11")
    measured.until(lambda: measured.settled(second))
    measured.stop()
    points = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    at = points.index("epoxy.update.before")
    hung = loop("--target", "epoxy", name="hung", MLAB_FAULT_AT=str(at), MLAB_FAULT_STOP="1")
    third = edits.release(light, "v2.1.12")

    def stopped() -> bool:
        assert hung.process is not None
        status = Path(f"/proc/{hung.process.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "T"

    hung.until(stopped)
    done = light.apply_when_unlocked("sandbox", "--target", "epoxy")
    assert done.status == 0, done.out + done.err
    before = edits.Registry(light).revision()
    assert hung.process is not None
    hung.process.send_signal(signal.SIGCONT)
    hung.until(lambda: hung.settled(third))
    assert edits.Registry(light).revision() == before, "nothing was written twice"
    assert hung.metric("mlab_reconcile_locks_lost_total", scope="epoxy") == 1


def test_two_loops_at_once_double_nothing(light: Checkout, loop: Start) -> None:
    one, two = loop(name="one"), loop(name="two")
    for running in (one, two):
        running.until(lambda running=running: running.settled(edits.head(light)))  # type: ignore[misc]
    before = edits.Registry(light).revision()
    for turn in range(4):
        sha = edits.release(light, f"v2.1.1{turn % 2 + 1}")
        for running in (one, two):
            running.until(lambda running=running, sha=sha: running.settled(sha))  # type: ignore[misc]
    assert edits.Registry(light).revision() == before + 4, "each release was written once"
    for running in (one, two):
        running.stop()
    assert light.plan("sandbox", "--target", "epoxy", "--target", "buckets")[0] == 0


def test_a_clock_that_jumps_does_neither_stop_nor_repeat_anything(light: Checkout, loop: Start, tmp_path: Any) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    shifted = {
        "LD_PRELOAD": str(next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    running = loop(**shifted)
    running.until(lambda: running.settled(edits.head(light)))
    before = edits.Registry(light).revision()
    for turn, step in enumerate(("+40d", "-40d", "+0")):
        clock.write_text(step)
        sha = edits.release(light, f"v2.1.1{turn % 2 + 1}")
        running.until(lambda sha=sha: running.settled(sha))  # type: ignore[misc]
        assert edits.Registry(light).revision() == before + turn + 1
    assert light.plan("sandbox", "--target", "epoxy", "--target", "buckets")[0] == 0
    assert running.get("/healthz").status_code == 200


@pytest.mark.parametrize("number", range(4))
def test_a_loop_killed_at_any_kind_of_point_is_completed_by_the_next(light: Checkout, loop: Start, number: int) -> None:
    quiet = loop(name="quiet")
    quiet.until(lambda: quiet.settled(edits.head(light)))
    quiet.stop()
    sha = edits.release(light, "v2.1.11")
    killed = loop("--target", "epoxy", name="killed", MLAB_FAULT_AT=str(number))
    assert killed.process is not None
    assert killed.process.wait(waiting.LIMIT_S) == -signal.SIGKILL
    killed.variables = {}
    killed.start()
    killed.until(lambda: killed.settled(sha))
    assert edits.Registry(light).release() == "v2.1.11"


class _Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Any]:
    """A webhook, an Alertmanager and a GitHub that keep what they are told."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    server.told = []  # type: ignore[attr-defined]
    with served(server):
        yield server


def test_each_transition_is_told_once_to_every_channel_even_over_a_restart(
    light: Checkout, loop: Start, receiver: Any
) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}"
    channels = (
        f"loop: {{notify: [{{kind: webhook, url: '{url}/hook'}}, {{kind: alertmanager, url: '{url}/am'}}, "
        f"{{kind: commit-status, url: '{url}/gh', repository: example/fleet, "
        "token: {secretRef: 'env:STATUS_TOKEN'}}]}\nmodes:"
    )
    fleets.edit(light.root, "config/environments/sandbox.yaml", "modes:", channels)
    light.commit("Tell people")
    running = loop(STATUS_TOKEN="token-of-this-status")
    head = edits.head(light)
    running.until(lambda: running.settled(head))
    edits.edit_bucket(light)
    try:
        running.until(lambda: len(receiver.told) >= 3)
        running.stop()
        running.start()
        running.until(lambda: running.scope("buckets")["state"] == "drifted")
    finally:
        edits.mend_bucket(light)
    running.until(lambda: len(receiver.told) >= 6)
    running.stop()
    told = receiver.told
    hooks = [notice for path, body in told if path == "/hook" for notice in body["notices"]]
    assert [(n["scope"], n["before"], n["state"]) for n in hooks] == [
        ("sandbox/buckets", "", "drifted"),
        ("sandbox/buckets", "drifted", "in_sync"),
    ]
    alerts = [alert for path, body in told if path == "/am/api/v2/alerts" for alert in body]
    assert ["endsAt" in alert for alert in alerts] == [False, True]
    assert alerts[0]["startsAt"] == alerts[1]["startsAt"]
    statuses = [(path, body["state"]) for path, body in told if path.startswith("/gh/")]
    assert statuses == [(f"/gh/repos/example/fleet/statuses/{head}", s) for s in ("pending", "success")]
