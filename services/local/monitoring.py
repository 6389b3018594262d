"""Prometheus and Alertmanager of one environment, started on a directory that a reconciler will write to.

Both need a configuration before anybody has applied one. It is the smallest that they accept, and it bears the
reconciler's own mark of ownership (`.mlab-owner.json`), so that the first plan updates it like any file of its own.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from services.local import programs
from services.local.controlplane import LOOPBACK, Place
from services.local.probe import Check
from services.local.processes import Launch
from services.local.starting import Part

OWNER_INDEX = ".mlab-owner.json"
FIRST = {
    "prometheus/prometheus.yml": "global: {scrape_interval: 1m}\n",
    "alertmanager/alertmanager.yml": "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n",
}
# Three servers on one small machine: hours of history are plenty.
RETENTION = "6h"


def directory(place: Place) -> Path:
    """Where the two servers read their configuration."""
    return place.folder / "monitoring"


def prepare(place: Place) -> None:
    """Write the first configuration and its marks, unless there is one."""
    target = directory(place)
    if (target / OWNER_INDEX).exists():
        return
    for name, content in FIRST.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        (target / name).write_text(content)
    marks = {
        name: {
            "owner": "mlab",
            "env": place.name,
            "scope": f"{place.name}/monitoring",
            "source": "",
            "commit": "",
            "sha256": hashlib.sha256(content.encode()).hexdigest(),
        }
        for name, content in FIRST.items()
    }
    (target / OWNER_INDEX).write_text(json.dumps({"v": 1, "files": marks}))


def prometheus(place: Place) -> Part:
    """Prometheus; reloads when asked by HTTP."""

    def launch(ports: tuple[int, ...]) -> Launch:
        command = (
            str(programs.path("prometheus")),
            f"--config.file={directory(place) / 'prometheus' / 'prometheus.yml'}",
            f"--storage.tsdb.path={place.folder / 'prometheus'}",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--web.listen-address={LOOPBACK}:{ports[0]}",
            "--web.enable-lifecycle",
            "--log.level=warn",
        )
        return Launch(f"{place.name}/prometheus", command, place.log("prometheus"))

    return Part(f"{place.name}/prometheus", launch, lambda ports: Check(f"http://{LOOPBACK}:{ports[0]}/-/ready"))


def alertmanager(place: Place) -> Part:
    """Alertmanager, alone: without the empty cluster address it would gossip on a port of its own."""

    def launch(ports: tuple[int, ...]) -> Launch:
        command = (
            str(programs.path("alertmanager")),
            f"--config.file={directory(place) / 'alertmanager' / 'alertmanager.yml'}",
            f"--storage.path={place.folder / 'alertmanager'}",
            f"--web.listen-address={LOOPBACK}:{ports[0]}",
            "--cluster.listen-address=",
            "--log.level=warn",
        )
        return Launch(f"{place.name}/alertmanager", command, place.log("alertmanager"))

    return Part(f"{place.name}/alertmanager", launch, lambda ports: Check(f"http://{LOOPBACK}:{ports[0]}/-/ready"))
