"""A lane in this process, with the real store behind it: for what a process of its own would only make slower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import prometheus_client

from node.pusher import tar, upload
from node.pusher.bundle import Format
from node.pusher.lane import Lane
from node.pusher.meters import Meters
from node.pusher.settings import Datatype
from node.pusher.timers import Wait
from tests import waiting

if TYPE_CHECKING:
    from tests.pusher.conftest import Spool

SOON = Wait(0, 0.05, 0.1)
METADATA = {"MLAB.server.name": "mlab1-abc01"}


def datatype(spool: Spool, name: str = "ndt7", **changes: Any) -> Datatype:
    made: dict[str, Any] = {
        "name": name,
        "root": spool.folder / name,
        "state": spool.folder / ".pusher" / name,
        "ratio": 1.0,
        "wait": Wait(3600, 3600, 3600),
        "max_members": 10_000,
        "max_file_age_s": 3600.0,
        **changes,
    }
    return Datatype(**made)


@dataclass(slots=True)
class Running:
    """One lane, and what it counted."""

    lane: Lane
    registry: prometheus_client.CollectorRegistry
    watcher: list[Any] = field(default_factory=list)

    def count(self, name: str, **labels: str) -> float:
        found = 0.0
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name == f"pusher_{name}" and labels.items() <= sample.labels.items():
                    found += sample.value
        return found

    def reaches(self, name: str, value: float, **labels: str) -> None:
        waiting.until(
            lambda: self.count(name, **labels) >= value,
            f"{name} reaches {value}",
            told=lambda: self.count(name, **labels),
        )

    def offer(self, *names: str, closed: bool = True) -> None:
        assert self.lane.offer(names, closed=closed)

    def finish(self) -> None:
        self.lane.finish()
        waiting.until(self.lane.finished.is_set, "nothing is left", told=self.lane.left)


Begin = Callable[..., Running]


def begin(of: Datatype, bucket: upload.Bucket, form: Format | None = None) -> Running:
    """Start a lane; without a watcher: names are offered by the test."""
    registry = prometheus_client.CollectorRegistry()
    made = form or tar.Format("ndt", of.name, "mlab1-abc01", METADATA, 10**9)
    running = Running(Lane(of, made, bucket, Meters(registry, (of.name,))), registry)
    running.lane.start()
    return running
