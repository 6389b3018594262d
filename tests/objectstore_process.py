"""The platform's object store as a process of its own, for tests that need the real server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from services.local import ports

CHECKOUT = Path(__file__).parents[1]


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its address, from when it answers until the block ends."""
    port = ports.free(1)[0]
    command = [
        sys.executable,
        "-m",
        "services.local.objectstore",
        f"--listen=127.0.0.1:{port}",
        f"--data={folder / 'data'}",
    ]
    with (folder / "objectstore.log").open("w") as log:
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if requests.get(f"{url}/storage/v1/b?project=p", timeout=2).ok:
                return
        except requests.ConnectionError:
            pass
        assert process.poll() is None and time.monotonic() < deadline, "the object store does not start"
        time.sleep(0.05)
