"""A real control plane without nodes for the tests: etcd, API server, controller manager.

One for all workers of a test run: the first that needs it starts it, the last one that leaves stops it. Tests share it
and stay apart by scopes and names of their own.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.local import controlplane, processes
from services.local.progress import Silent
from services.local.starting import start


@contextmanager
def shared(folder: Path, worker: str) -> Iterator[Path]:
    """The administrator's kubeconfig of the run's cluster; `folder` is common to all workers."""
    folder.mkdir(parents=True, exist_ok=True)
    records, users, config = folder / "records", folder / "users", folder / "admin.kubeconfig"
    users.mkdir(exist_ok=True)
    with _locked(folder):
        if not config.exists():
            _start(folder, records)
        (users / worker).touch()
    try:
        yield config
    finally:
        with _locked(folder):
            (users / worker).unlink()
            if not any(users.iterdir()):
                config.unlink()
                processes.stop(processes.recorded(records), records, grace_s=0.5)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(folder: Path, records: Path) -> None:
    place = controlplane.Place("tests", folder, folder / "logs")
    keys = controlplane.credentials(place)
    progress, cancelled = Silent(), threading.Event()
    try:
        etcd = start(controlplane.etcd(place), records, progress, cancelled)
        server = start(controlplane.apiserver(place, keys, etcd.ports[0]), records, progress, cancelled)
        controllers = controlplane.controller_manager(place, keys, server.ports[0])
        start(controllers, records, progress, cancelled)
        controlplane.kubeconfig(place, keys, keys.admin, server.ports[0])
    except BaseException:
        processes.stop(processes.recorded(records), records)
        raise
