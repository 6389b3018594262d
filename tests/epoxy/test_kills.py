"""kill -9 of the server at each distinct point of a boot: the machine asks again and its boot completes."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import requests

from tests.epoxy import machine
from tests.epoxy_service import Service

OPERATION = "bmc_store_password"
NIGHTLY_KILLS = 500
TRIES = 50


class Killed:
    """A service that dies at one named point after the other, and the machine's patience with it."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.points: list[str] = []
        self.log = log
        self.deaths: list[str] = []

    def start(self) -> None:
        at = self.points.pop() if self.points else ""
        self.service.environment = {"FAULT_AT": at, "FAULT_LOG": str(self.log)}
        self.service.start()

    def ask(self, act: Callable[[], requests.Response]) -> requests.Response:
        """Ask until there is an answer."""
        for _ in range(TRIES):
            try:
                return act()
            except requests.RequestException:
                process = self.service.process
                assert process is not None and process.wait(120) == -9, self.service.log.read_text()[-2000:]
                self.service.process = None
                self.deaths.append(self.service.environment["FAULT_AT"])
                self.start()
        raise AssertionError("no answer")


def boot(killed: Killed, host: machine.Machine) -> None:
    """One boot with patience; what must hold of it whatever happened to the server."""
    assert killed.ask(host.stage1).status_code == 200
    first = {key: killed.ask(lambda key=key: host.ask(key)).text for key in ("stage2", "stage3")}  # type: ignore[misc]
    assert killed.ask(lambda: host.ask("stage3")).text == first["stage3"], "a repeat gets the same answer"
    assert killed.ask(lambda: host.ask("stage2")).status_code == 403, "stage2 is over"
    assert killed.ask(lambda: host.ask(OPERATION)).status_code == 502, "the test has no extension server"
    assert killed.ask(host.report).status_code == 204
    for key in ("stage2", "stage3", OPERATION):
        assert killed.ask(lambda key=key: host.ask(key)).status_code == 403  # type: ignore[misc]
    seen = killed.ask(lambda: host.service.call("GET", f"/admin/v1/hosts/{host.name}")).json()["observed"]
    assert seen["LastSuccess"] >= seen["LastSessionCreation"] > "2026"


def test_a_boot_completes_whenever_the_server_is_killed(tmp_path: Path) -> None:
    operations, log = tmp_path / "operations.json", tmp_path / "points"
    operations.write_text(json.dumps({OPERATION: {"url": "http://127.0.0.1:9/"}}))
    options = (*machine.PROXY, "--operations", str(operations), "--stage1-limit", "50")
    service = Service(tmp_path, *options, runs=("-m", "tests.epoxy.faulting"))
    killed = Killed(service, log)
    try:
        killed.start()
        boot(killed, machine.made(service, Extensions=[OPERATION]))
        passed = list(dict.fromkeys(log.read_text().splitlines()))
        assert len(passed) == 5 * 7, passed
        points = [one for one in passed if not one.endswith("answered")]
        if os.environ.get("MLAB_NIGHTLY"):
            points = random.Random(5).choices(passed, k=NIGHTLY_KILLS)
        service.kill()
        killed.points = list(reversed(points))
        killed.start()
        turn = 0
        while len(killed.deaths) < len(points):
            if turn % 10 == 0:
                host = machine.made(service, Extensions=[OPERATION])
            boot(killed, host)
            turn += 1
            assert turn <= 2 * len(points) + 2, killed.deaths
        assert killed.deaths == points
    finally:
        service.kill()
