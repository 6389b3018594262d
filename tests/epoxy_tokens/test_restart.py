"""The API server is killed and started again under a running approver, which goes on by itself."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
import requests

from services.local import processes
from tests import waiting
from tests.epoxy_tokens import lab
from tests.joining import Wish, decision
from tests.kubernetes import cluster

pytestmark = pytest.mark.xdist_group("epoxy-tokens")
JOINED = ("Approved", "EpoxyJoined")


def joins(cell: lab.Lab, name: str) -> bool:
    """Whether a host with a token of its own gets its certificate, and the token goes."""
    decided = decision(cell.admin, Wish(name).file(cell.admin.as_bearer(cell.token(name))))
    waiting.until(lambda: not cell.secrets(name), "the token is deleted")
    return decided == JOINED


def is_ready(cell: lab.Lab) -> bool:
    try:
        return cell.admin.call("GET", "/readyz").ok
    except requests.ConnectionError:
        return False


def test_a_killed_api_server_is_found_again(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    folder = tmp_path_factory.mktemp("restart")
    with (
        cluster.shared(folder / "kubernetes", worker_id) as kubeconfig,
        lab.prepared(kubeconfig, folder) as cell,
        lab.running(cell, "approve") as program,
    ):
        assert joins(cell, lab.host(1, "rst01"))
        recorded = processes.recorded(folder / "kubernetes" / "records")
        (pid,) = (one.pid for one in recorded if one.name.endswith("/kube-apiserver"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
        os.kill(pid, signal.SIGKILL)
        waiting.until(lambda: program.metric("epoxy_approver_failures_total") >= 1, "the approver notices")
        again = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            waiting.until(lambda: is_ready(cell), "the API server is back", limit_s=120)
            assert joins(cell, lab.host(2, "rst01"))
            assert program.process.poll() is None
        finally:
            again.kill()
            again.wait()
