"""The platform's commands as processes that a test may interrupt or kill, each with a mark of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from services.local import platform as programs
from services.local import processes
from tests.e2e.checkout import Checkout
from tests.platform import machine

ENV = "sandbox"
FULL, LIGHT = (frozenset(f"{ENV}/{name}" for name in names) for names in (programs.FULL, programs.LIGHT))
"""Every server of a whole platform, and of a light one."""


@dataclass(frozen=True, slots=True)
class Command:
    """A started command; what it leaves behind is found by its mark."""

    process: subprocess.Popen[str]
    mark: str
    checkout: Checkout

    def recorded(self) -> int:
        """How many of the platform's records are of processes that this very command started."""
        mine = machine.marked(self.mark)
        return sum(one.pid in mine for one in processes.recorded(platform(self.checkout) / "processes"))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nobody else gets one."""
        self.process.send_signal(number)

    def ended(self) -> tuple[int, str]:
        """Wait for its end: exit status and what it said on stderr."""
        _, said = self.process.communicate(timeout=120)
        return self.process.returncode, said

    def killed(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        assert self.ended()[0] == -signal.SIGKILL


def start(checkout: Checkout, *words: str, **variables: str) -> Command:
    """Start a verb in a session of its own."""
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        checkout.command(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **checkout.environment, **variables, machine.MARK: mark},
        start_new_session=True,
    )
    return Command(process, mark, checkout)


def platform(checkout: Checkout) -> Path:
    """The platform's folder."""
    return checkout.state / "platform"


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform that runs, and what its `up` said of it."""

    checkout: Checkout
    mark: str
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return platform(self.checkout)

    def targets(self) -> Mapping[str, Any]:
        """Where everything is, as `mlab` is told."""
        overlay = json.loads((self.folder / "platform.json").read_text())["environments"][ENV]
        found: Mapping[str, Any] = overlay["targets"]
        return found

    def ports(self) -> set[int]:
        return {port for server in self.servers.values() for port in server["ports"]}

    def again(self, *words: str) -> Platform:
        """`up` once more, which changes nothing, and what it says now."""
        return up(replace(self.checkout, environment={**self.checkout.environment, machine.MARK: self.mark}), *words)


def up(checkout: Checkout, *words: str) -> Platform:
    """Bring a platform up; every process that it starts has the checkout's mark, or a new one."""
    mark = checkout.environment.get(machine.MARK, uuid.uuid4().hex)
    done = checkout.mlab("up", "--env", ENV, "--json", *words, **{machine.MARK: mark})
    assert done.status == 0, done.err
    found = json.loads(done.out)
    servers = {f"{server['environment']}/{server['program']}": server for server in found["servers"]}
    return Platform(checkout, mark, servers)


def assert_gone(platform: Platform) -> None:
    """No process, no port, no file of a platform is left."""
    assert machine.marked(platform.mark) == {}
    assert not platform.ports() & machine.listening()
    assert not platform.folder.exists()
