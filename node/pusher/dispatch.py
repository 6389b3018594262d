"""The sealed bundles of one datatype: which of them is attempted now, and what is done about what came of it.

Bundles of one day are uploaded one after the other, those of different days at the same time, and whoever waits for a
next attempt is in nobody's way. Workers carry out the attempts (fsync, upload, deletion) and hand back their outcomes;
everything is decided in the lane's thread.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from node.pusher import deletion, filling, journal, shipping, timers, upload
from node.pusher.ledger import Ledger
from node.pusher.meters import Meters
from node.pusher.settings import Datatype
from node.watch import beneath

_LOG = logging.getLogger("pusher")
WORKERS = 4
UNSTORED_BYTES = 512 << 20
"""Compressed bytes that wait for the store before files wait on the disk, where they are already."""
_HELD_BYTES = 4 * filling.REFUSED_BYTES
"""The same for what is in memory because the disk refuses."""
DRAIN_RETRY_S = 2.0


class Dispatch:
    """For the thread of its lane. `changed` is notified when an outcome has come."""

    def __init__(
        self,
        of: Datatype,
        shipper: shipping.Shipper,
        ledger: Ledger,
        count: Meters,
        changed: threading.Condition,
    ) -> None:
        self._of = of
        self._shipper = shipper
        self._ledger = ledger
        self._count = count
        self._changed = changed
        self._shipments: list[shipping.Shipment] = []
        self._outcomes: list[shipping.Outcome] = []
        self._workers = ThreadPoolExecutor(WORKERS, f"ship-{of.name}")
        self.draining = False
        """True: the next attempt comes soon, since the end does."""

    def take_up(self, left: journal.Journal) -> None:
        """What a run before this one left. Raises `OSError`."""
        for entry in left.entries():
            for member in entry.members:
                self._ledger.add(member)
            self._shipments.append(
                shipping.Shipment(
                    name=entry.path.stem,
                    key=entry.key,
                    us=entry.us,
                    members=entry.members,
                    object_names=tuple(each.name for each in entry.objects),
                    since=time.monotonic(),
                    entry=entry,
                    renamed=self._ledger.renamed,
                    how="stored",
                )
            )

    def add(self, shipment: shipping.Shipment) -> None:
        """One that is sealed."""
        self._shipments.append(shipment)

    def unstored(self) -> int:
        """How many are not proven to be stored; for any thread."""
        return sum(not each.stored for each in list(self._shipments))

    def ended(self) -> bool:
        """Whether the program may end. What is stored and cannot be deleted is in the journal; the next run goes on
        with it. Descriptors come back as others get done, so what only lacks one is waited for."""
        return all(each.stored and not each.running and not each.scarce for each in self._shipments)

    def full(self) -> bool:
        """Whether files have to wait for the store, or for room on the disk."""
        unstored = sum(each.size for each in self._shipments)
        held = sum(each.bundle.in_memory_bytes for each in self._shipments if each.bundle is not None)
        return unstored > UNSTORED_BYTES or held > _HELD_BYTES

    def since(self) -> list[float]:
        """When the first file of each was packed, by the monotonic clock."""
        return [each.since for each in self._shipments]

    def due(self, now: float) -> list[float]:
        """When those are due that wait for a next attempt, by the monotonic clock."""
        return [each.due for each in self._shipments if not each.running and each.due > now]

    def came(self) -> bool:
        """Whether an outcome waits to be settled. Under the condition."""
        return bool(self._outcomes)

    def start(self, now: float) -> None:
        """Start what is due: one attempt a day's folder, so that no folder takes all workers."""
        running = {each.key for each in self._shipments if each.running}
        for shipment in self._shipments:
            if len(running) >= WORKERS:
                return
            if shipment.running or shipment.due > now or shipment.key in running:
                continue
            shipment.running = True
            shipment.began = shipment.began or now
            running.add(shipment.key)
            self._workers.submit(self._attempt, shipment)

    def settle(self) -> list[str]:
        """Act on the outcomes that have come; the files that have to be packed anew."""
        with self._changed:
            outcomes, self._outcomes = self._outcomes, []
        return [name for outcome in outcomes for name in self._settled(outcome)]

    def report(self) -> None:
        """Of all that are on their way."""
        self._count.waiting_bytes.labels(self._of.name).set(sum(each.size for each in self._shipments))
        self._count.in_flight.labels(self._of.name).set(sum(each.running for each in self._shipments))

    def close(self) -> None:
        """Start nothing more."""
        self._workers.shutdown(wait=False)

    def _attempt(self, shipment: shipping.Shipment) -> None:
        outcome = self._shipper.attempt(shipment)
        with self._changed:
            self._outcomes.append(outcome)
            self._changed.notify_all()

    def _settled(self, outcome: shipping.Outcome) -> list[str]:
        shipment, datatype = outcome.shipment, self._of.name
        shipment.running = False
        if outcome.uploaded:
            self._stored(shipment)
        if outcome.deleted is not None:
            self._deleted(outcome.deleted)
        if outcome.error is None:
            self._drop(shipment)
            if shipment.how:
                self._count.recovered.labels(datatype, shipment.how).inc()
            return outcome.deleted.other if outcome.deleted is not None else []
        if isinstance(outcome.error, upload.Taken | shipping.Lost):
            _LOG.error("%s: %s; its files are packed anew", datatype, outcome.error)
            self._count.renamed.labels(datatype).inc()
            self._shipper.forget(shipment)
            self._drop(shipment)
            return [member.name for member in shipment.members]
        self._failed(shipment, outcome.error)
        return []

    def _drop(self, shipment: shipping.Shipment) -> None:
        self._shipments.remove(shipment)
        self._ledger.drop(shipment.members)

    def _stored(self, shipment: shipping.Shipment) -> None:
        self._count.uploaded.labels(self._of.name).inc()
        self._count.success.labels(self._of.name).set(time.time())
        # The label says the opposite of what it seems to, as ever: dashboards read it so.
        self._count.retry_runtime.labels("upload", "false").observe(time.monotonic() - shipment.began)
        shipment.failures = 0
        _LOG.info("stored %s: %d files, %d bytes", shipment.object_names[0], len(shipment.members), shipment.size)

    def _deleted(self, deleted: deletion.Deleted) -> None:
        self._count.removed.labels(self._of.name, "add_file").inc(deleted.removed)
        if deleted.errors:
            self._count.remove_errors.labels(self._of.name, "add_file").inc(len(deleted.errors))

    def _failed(self, shipment: shipping.Shipment, error: Exception) -> None:
        shipment.failures += 1
        shipment.scarce = isinstance(error, OSError) and error.errno in beneath.NO_DESCRIPTORS
        asked_s = error.after_s if isinstance(error, upload.Failed) else 0.0
        last_s = timers.LOCAL_RETRY_S if isinstance(error, OSError) else timers.LAST_RETRY_S
        limit_s = DRAIN_RETRY_S if self.draining else last_s
        wait_s = timers.retry_s(shipment.failures, asked_s, limit_s)
        shipment.due = time.monotonic() + wait_s
        self._count.retries.labels("upload").inc()
        if wait_s >= timers.LAST_RETRY_S / 2:
            self._count.max_retries.labels("upload").inc()
        if not isinstance(error, upload.Failed | OSError):
            _LOG.error("%s: a bug; tried again in %.1f s", shipment.object_names[0], wait_s, exc_info=error)
            return
        level = logging.WARNING
        if isinstance(error, upload.Failed) and not error.temporary:
            self._count.refused.labels(self._of.name).inc()
            level = logging.ERROR
        _LOG.log(level, "%s: %s; tried again in %.1f s", shipment.object_names[0], error, wait_s)
