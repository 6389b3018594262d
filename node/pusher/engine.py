"""All datatypes of a command line in one process, from their first file to the last upload."""

from __future__ import annotations

import logging
import math
import os
import resource
import threading
import time
from pathlib import Path

import prometheus_client

from node.pusher import drain, meters, schema, state, timers, upload
from node.pusher.dispatch import WORKERS
from node.pusher.finder import Finder
from node.pusher.lane import Lane
from node.pusher.settings import Settings
from node.pusher.watching import Watch

_LOG = logging.getLogger("pusher")
_SCHEMA_RETRY_S = 30.0
_TABLE_S = 10.0
"""For a table's description, a few kilobytes: the end must not wait long for a store that hangs."""
_SIGNAL_S = 0.5
"""How long a signal waits at most that the kernel gives to another thread: it wakes nobody, and Python handles signals
in the main thread only."""


class Engine:
    """Makes everything that a start can fail at. Raises `Held`, `WatchError`, `OSError`, and what credentials raise."""

    def __init__(self, of: Settings, registry: prometheus_client.CollectorRegistry) -> None:
        self._of = of
        self._held = [state.hold(each.state) for each in of.datatypes]
        self._count = meters.Meters(registry, tuple(each.name for each in of.datatypes))
        self._count.descriptors.set_function(_descriptors_ratio)
        self._bucket = upload.Bucket(of.bucket, of.times.upload_s, WORKERS * len(of.datatypes))
        # A client of its own, for the sake of its limit.
        self._of_tables = upload.Bucket(of.bucket, min(_TABLE_S, of.times.upload_s), 1) if of.tables else None
        self._lanes = {each.name: Lane(each, of.forms[each.name], self._bucket, self._count) for each in of.datatypes}
        self._running: list[Lane] = []
        # Before anything runs: later there may be no descriptor left for them.
        self._watches = {name: Watch(lane, self._count) for name, lane in self._lanes.items()}
        self._finders: list[Finder] = []

    def run(self, ending: threading.Event, urgent: threading.Event) -> list[str]:
        """Until `ending`; what was left, one line a datatype. Raises `SchemaError`."""
        began = time.monotonic()
        undescribed = set(self._of.tables)
        self._begin([lane for name, lane in self._lanes.items() if name not in self._of.tables])
        try:
            undescribed = self._settle(ending)
            self._begin([self._lanes[name] for name in self._of.tables if name not in undescribed])
            end_s = began + self._of.end_after_s if self._of.end_after_s else math.inf
            while (left_s := end_s - time.monotonic()) > 0 and not ending.wait(min(left_s, _SIGNAL_S)):
                pass
        finally:
            began = time.monotonic()
            left = drain.drain(self._running, list(self._watches.values()), self._finders, self._of.times, urgent)
            self._count.drain_s.set(time.monotonic() - began)
            self._bucket.close()
            if self._of_tables is not None:
                self._of_tables.close()
            for descriptor in self._held:
                os.close(descriptor)
        return [
            *left,
            *(f"{name}: its table could not be described; all its files are on the disk" for name in undescribed),
        ]

    def _begin(self, lanes: list[Lane]) -> None:
        if not lanes:
            return
        for lane in lanes:
            lane.start()
            self._running.append(lane)
            self._watches[lane.of.name].start()
        self._finders.append(Finder(lanes, self._of.times.cleanup, self._count))
        self._finders[-1].start()

    def _settle(self, ending: threading.Event) -> set[str]:
        """Describe every table as it has to be; those that are not when the end comes, whose files cannot be uploaded.

        Each is tried once more when the end has come: files of an earlier run may be there."""
        undescribed = set(self._of.tables)
        if self._of_tables is None:
            return undescribed
        for name, table in self._of.tables.items():
            failures = 0
            while name in undescribed:
                last = ending.is_set()
                try:
                    done = schema.settle(self._of_tables, table.object_name, table.fields, upload=table.upload)
                    _LOG.info("%s: table %s: %s", name, table.object_name, done)
                    undescribed.remove(name)
                except upload.Failed as error:
                    failures += 1
                    if last:
                        _LOG.error("%s: table %s: %s", name, table.object_name, error)
                        if error.temporary:
                            return undescribed  # the next one would wait for the same store
                        break
                    wait_s = timers.retry_s(failures, error.after_s, _SCHEMA_RETRY_S)
                    _LOG.warning("%s: table %s: %s; tried again in %.1f s", name, table.object_name, error, wait_s)
                    ending.wait(wait_s)
        return undescribed


def _descriptors_ratio() -> float:
    try:
        used = len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return 1.0  # not even one for this
    return used / resource.getrlimit(resource.RLIMIT_NOFILE)[0]
