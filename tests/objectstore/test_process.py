"""The program itself: where it listens, whose data it serves, how it ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.objectstore.wire import Wire
from tests.objectstore_process import CHECKOUT, ObjectStore

COMMAND = [sys.executable, "-m", "services.local.objectstore"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "192.0.2.1:0", "localhost:0", "127.0.0.1:x", "127.0.0.1:70000", "80"])
def test_it_listens_on_loopback_or_not_at_all(tmp_path: Path, listen: str) -> None:
    done = run(f"--listen={listen}", f"--data={tmp_path}")
    assert done.returncode == 1 and listen in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(f"--listen=127.0.0.1:{taken.getsockname()[1]}", f"--data={tmp_path}")
    assert done.returncode == 1 and "Address already in use" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_folder_is_served_once_and_a_stop_is_graceful(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    store.start()
    try:
        serve_twice(store)
    finally:
        store.stop()


def serve_twice(store: ObjectStore) -> None:
    second = run("--listen=127.0.0.1:0", f"--data={store.folder / 'data'}")
    assert second.returncode == 1 and "served by another process" in second.stderr
    wire = Wire(store.url)
    wire.make_bucket("bucket")
    wire.put("bucket", "a", b"data")
    assert store.stop() == 0
    assert not (store.folder / "data" / "store.sqlite-wal").exists()
    store.start()
    assert Wire(store.url).read("bucket", "a").content == b"data"
    assert "Traceback" not in store.log


def test_it_listens_on_the_loopback_of_ipv6_too(tmp_path: Path) -> None:
    command = [*COMMAND, "--listen=[::1]:0", f"--data={tmp_path}"]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            wire = Wire(process.stdout.readline().strip())
            assert wire.url.startswith("http://[::1]:") and wire.call("GET", "/healthz").ok
            assert wire.make_bucket("bucket")["selfLink"].startswith(wire.url)
        finally:
            process.terminate()
