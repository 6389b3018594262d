"""`mlab run` as a process of a test, watched through what it answers over HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests import waiting
from tests.e2e.checkout import MLAB, Checkout

LIMIT_S = 120.0
TARGETS = ("--target", "epoxy", "--target", "buckets")


@dataclass(slots=True)
class Running:
    """A loop of sandbox over a checkout, in a state folder of its own."""

    checkout: Checkout
    state: Path
    words: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    address: str = ""
    limit_s: float = LIMIT_S
    log: Path = field(init=False)
    """Its stderr."""

    def __post_init__(self) -> None:
        self.log = self.state / "loop.log"

    def start(self) -> Running:
        """Start it and wait until it answers."""
        self.state.mkdir(parents=True, exist_ok=True)
        before = self.log.stat().st_size if self.log.exists() else 0
        command = [
            *(
                str(MLAB),
                "run",
                "--env",
                "sandbox",
                "--repository",
                str(self.checkout.root),
                "--root",
                str(self.checkout.root),
            ),
            *("--state", str(self.state), "--listen", "127.0.0.1:0", "--interval", "0.3", "--git-interval", "0.3"),
            *(TARGETS if "--target" not in self.words else ()),
            *self.words,
        ]
        with self.log.open("ab") as log:
            variables = {**os.environ, "PYTHONFAULTHANDLER": "1", **self.variables}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=variables)

        def listening() -> bool:
            found = re.search(r"http://(\S+)/status", self.log.read_bytes()[before:].decode())
            self.address = found[1] if found else ""
            return bool(found)

        self.until(listening)
        return self

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition; a loop that ended meanwhile fails the test with its log."""
        what = "what the test counts on"
        waiting.until(holds, what, limit_s=self.limit_s, step_s=0.05, process=self.process, told=self._end_told)

    def _end_told(self) -> str:
        """End it by a signal upon which it tells what each thread is doing; all that it said."""
        assert self.process is not None
        self.process.send_signal(signal.SIGABRT)
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(self.limit_s)
        return self.log.read_text()

    def get(self, path: str) -> requests.Response:
        """One answer."""
        return requests.get(f"http://{self.address}{path}", timeout=60)

    def status(self) -> dict[str, Any]:
        """`/status`."""
        found: dict[str, Any] = self.get("/status").json()
        return found

    def scope(self, target: str) -> dict[str, Any]:
        """One scope of `/status`."""
        found: dict[str, Any] = self.status()["scopes"].get(target, {"state": "", "commit": "", "applied": ""})
        return found

    def settled(self, sha: str, state: str = "in_sync") -> bool:
        """Every scope looked at this commit and is in that state."""
        scopes = self.status()["scopes"].values()
        return bool(scopes) and all(s["state"] == state and s["applied"] == sha for s in scopes)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 where there is none."""
        total = 0.0
        for family in text_string_to_metric_families(self.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
        code = self.process.wait(self.limit_s)
        self.process = None
        return code
