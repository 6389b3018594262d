"""The platform's object store as a process of its own, for tests that need the real server, or its death."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from services.local import ports
from tests import waiting

CHECKOUT = Path(__file__).parents[1]
START_S = 120.0
STARTS = 3
"""Another process may take the free port before ours does; then it is tried with another one."""


class ObjectStore:
    """One data folder behind one address, which stays the same when the process is ended and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._began = False
        self._choose_port()

    def _choose_port(self) -> None:
        self.port = ports.free(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def contents(self) -> set[str]:
        """Names of the files that hold large contents."""
        return {path.name for path in (self.folder / "data" / "contents").iterdir()}

    @property
    def log(self) -> str:
        """What all processes of this folder said."""
        return (self.folder / "objectstore.log").read_text()

    def start(self) -> None:
        """Start it and wait until it answers."""
        for left in reversed(range(1 if self._began else STARTS)):
            if self._starts():
                self._began = True
                return
            assert left, f"does not start: {self.log}"
            self._choose_port()

    def _starts(self) -> bool:
        """Whether it answers; False if it ended instead."""
        command = [
            sys.executable,
            "-m",
            "services.local.objectstore",
            f"--listen=127.0.0.1:{self.port}",
            f"--data={self.folder / 'data'}",
            *self._options,
        ]
        with (self.folder / "objectstore.log").open("a") as log:
            self._process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)
        running = self._process

        def decided() -> bool:
            return (self.port in ports.listening(running.pid) and self._answers()) or running.poll() is not None

        waiting.until(decided, "the object store answers", limit_s=START_S, told=lambda: self.log)
        return running.poll() is None

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def died(self) -> int:
        """Wait for its own end; the exit status."""
        assert self._process is not None
        return self._process.wait(START_S)

    def stop(self) -> int:
        """End it gracefully; the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self.died()

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=2).ok
        except requests.RequestException:  # a busy machine answers late
            return False


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its address, from when it answers until the block ends."""
    store = ObjectStore(folder)
    store.start()
    try:
        yield store.url
    finally:
        store.stop()
