"""One datatype: takes files as they are found, packs them into a bundle for each day, and sees each bundle on its way.

One thread decides everything, so nothing needs a lock but the inbox; workers carry out what takes long (fsync, upload,
deletion) and hand back what came of it. Bundles of one day are uploaded one after the other, those of different days at
the same time, and whoever waits for a next attempt is in nobody's way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from node.pusher import deletion, journal, names, shipping, timers, upload
from node.pusher.bundle import Bundle, Format
from node.pusher.inbox import Inbox
from node.pusher.ledger import Ledger
from node.pusher.meters import Meters
from node.pusher.settings import Datatype
from node.pusher.taking import Taker

_LOG = logging.getLogger("pusher")
WORKERS = 4
UNSTORED_BYTES = 512 << 20
"""Compressed bytes that wait for the store before files wait on the disk, where they are already."""
REFUSED_BYTES = 4 << 20
"""What a bundle holds in memory because the disk refuses, before it is sealed; four such bundles are the limit."""
DRAIN_RETRY_S = 2.0
ANEW_S = 1.0
LAST_TRIES = 3
"""At the end, for a file that changes all the time."""


class Lane:
    """`offer` and the commands are for any thread; `start` begins the lane's own. Making one raises `OSError`."""

    def __init__(self, of: Datatype, form: Format, bucket: upload.Bucket, count: Meters) -> None:
        self.of = of
        self._count = count
        self._changed = threading.Condition()
        self.inbox = Inbox(self._changed)
        self._ledger = Ledger()
        self._journal = journal.Journal(of.state)
        self._shipper = shipping.Shipper(of.root, self._journal, bucket, form)
        self._form = form
        self._stamps = names.Stamps()
        self._bundles: dict[str, Bundle] = {}
        self._shipments: list[shipping.Shipment] = []
        self._outcomes: list[shipping.Outcome] = []
        self._later: list[tuple[float, str, int]] = []
        self._serial = 0
        self._flush = False
        self._finish = False
        self._draining = False
        self.finished = threading.Event()
        self._taker = Taker(of, form, self._ledger, self._stamps, count, self._open)
        self._workers = ThreadPoolExecutor(WORKERS, f"ship-{of.name}")
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"pack-{of.name}")

        self._take_up()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _take_up(self) -> None:
        """What a run before this one left."""
        for entry in self._journal.entries():
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
            _LOG.info("%s: bundle of a run that was killed: %s", self.of.name, entry.objects[0].name)

    def offer(self, found: Iterable[str], *, closed: bool) -> bool:
        """Files to pack, by their names below the datatype's folder; False if there is no room for them now."""
        return self.inbox.offer(found, closed=closed)

    def flush(self) -> None:
        """Seal all bundles now, and go on."""
        with self._changed:
            self._flush = self._draining = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Pack what was offered, seal, and end as soon as everything is stored."""
        with self._changed:
            self._finish = self._draining = True
            self.inbox.resting = False
            self._changed.notify_all()

    def wait_empty(self, deadline: float) -> None:
        """Until nothing waits to be packed."""
        with self._changed:
            self.inbox.resting = False
            self._changed.notify_all()
            while len(self.inbox) and not self.finished.is_set() and time.monotonic() < deadline:
                self._changed.wait(max(0.0, min(1.0, deadline - time.monotonic())))

    def left(self) -> tuple[int, int]:
        """Bundles that are not done, and files that are not in one of them."""
        unstored = sum(not each.stored for each in list(self._shipments))
        return unstored + len(self._bundles), len(self.inbox) + len(self._later)

    def _run(self) -> None:
        try:
            self._turn()
            while not self._idle():
                self._wait()
                self._turn()
        finally:
            self._workers.shutdown(wait=False)
            self.finished.set()

    def _idle(self) -> bool:
        waiting = len(self.inbox) or self._later or self._bundles
        # What is stored and cannot be deleted is in the journal; the next run goes on with it.
        return self._finish and not (waiting or any(not each.stored or each.running for each in self._shipments))

    def _turn(self) -> None:
        with self._changed:
            outcomes, self._outcomes = self._outcomes, []
            flush, self._flush = self._flush, False
        for outcome in outcomes:
            self._came(outcome)
        now = time.monotonic()
        self._take_again(now)
        self._take(now)
        for bundle in [each for each in self._bundles.values() if each.due <= now]:
            self._seal(bundle, "age_threshold_met")
        if flush or (self._finish and not len(self.inbox) and not self._later):
            for bundle in list(self._bundles.values()):
                self._seal(bundle, "emergency_upload")
        self._ship(time.monotonic())
        self._report()

    def _wait(self) -> None:
        with self._changed:
            if self._outcomes or self._flush or self._idle():
                return
            now = time.monotonic()
            waits = [bundle.due - now for bundle in self._bundles.values()]
            waits += [each.due - now for each in self._shipments if not each.running and each.due > now]
            waits += [due - now for due, _, _ in self._later]
            due_s = self.inbox.due_s()
            if due_s is not None and not self._full():
                waits.append(due_s)
            if self._finish and not len(self.inbox) and not self._later and self._bundles:
                return
            self._changed.wait(max(0.0, min([*waits, 60.0])))

    def _full(self) -> bool:
        """Whether files have to wait for the store, or for room on the disk."""
        unstored = sum(each.size for each in self._shipments)
        held = sum(each.bundle.in_memory_bytes for each in self._shipments if each.bundle is not None)
        return unstored > UNSTORED_BYTES or held > 4 * REFUSED_BYTES

    def _take_again(self, now: float) -> None:
        """Files that were not what they had been when they were opened."""
        due = [each for each in self._later if each[0] <= now]
        if due:
            self._later = [each for each in self._later if each[0] > now]
            for _, name, tries in due:
                self._taken([name], closed=False, tries=tries)

    def _take(self, now: float) -> None:
        """Some of what waits: outcomes and timers get their turn in between."""
        until = now + 0.1
        while not self._full() and time.monotonic() < until:
            with self._changed:
                batch = self.inbox.take()
            if batch is None:
                return
            self._taken(batch[1], closed=batch[0])

    def _taken(self, batch: list[str], *, closed: bool, tries: int = 0) -> None:
        for name in batch:
            bundle, again = self._taker.take(name, closed=closed)
            if again and not (self._finish and tries >= LAST_TRIES):
                self._later.append((time.monotonic() + ANEW_S, name, tries + 1))
            if bundle is not None and self._must_end(bundle):
                self._seal(bundle, "size_threshold_met")
        self._taker.report()

    def _must_end(self, bundle: Bundle) -> bool:
        return (
            bundle.packing.full()
            or len(bundle.members) >= self.of.max_members
            or bundle.in_memory_bytes > REFUSED_BYTES
        )

    def _open(self, key: str, size: int) -> Bundle:
        """The bundle that a file of this size goes into."""
        found = self._bundles.get(key)
        if found is not None and not found.packing.fits(size):
            self._seal(found, "size_threshold_met")
            found = None
        if found is None:
            us = self._stamps.next()
            path = self.of.state / f"{names.stamp(us)}"
            now = time.monotonic()
            wait_s = self.of.wait.longest() if self.of.past(key, us) else self.of.wait.draw()
            found = Bundle(key, us, path, self._form.begin(key, us, path), now, now + wait_s)
            self._bundles[key] = found
            self._count.created.labels(self.of.name).inc()
        return found

    def _seal(self, bundle: Bundle, reason: str) -> None:
        del self._bundles[bundle.key]
        if not bundle.members:
            for made in bundle.packing.contents:
                made.discard()
            return
        bundle.packing.finish()
        if any(made.refused is not None for made in bundle.packing.contents):
            self._count.disk_refusals.labels(self.of.name).inc()
        us = bundle.us if self._form.named_at_birth else self._stamps.next()
        self._count.upload_calls.labels(self.of.name, reason).inc()
        self._count.files_per_bundle.labels(self.of.name).observe(len(bundle.members))
        self._count.bytes_per_bundle.labels(self.of.name).observe(bundle.size)
        if len(bundle.packing.contents) == 2:
            for name, made in zip((self.of.name, "index1"), bundle.packing.contents, strict=True):
                self._count.jsonl_bytes.labels(name).observe(made.size)
        self._shipments.append(
            shipping.Shipment(
                name=bundle.path.name,
                key=bundle.key,
                us=us,
                members=tuple(bundle.members),
                object_names=self._form.names(bundle.key, us),
                since=bundle.born,
                bundle=bundle,
                renamed=self._ledger.renamed,
            )
        )

    def _ship(self, now: float) -> None:
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

    def _attempt(self, shipment: shipping.Shipment) -> None:
        outcome = self._shipper.attempt(shipment)
        with self._changed:
            self._outcomes.append(outcome)
            self._changed.notify_all()

    def _came(self, outcome: shipping.Outcome) -> None:
        shipment, datatype = outcome.shipment, self.of.name
        shipment.running = False
        if outcome.uploaded:
            self._stored(shipment)
        if outcome.deleted is not None:
            self._deleted(outcome.deleted)
        if outcome.error is None:
            self._shipments.remove(shipment)
            self._ledger.drop(shipment.members)
            if shipment.how:
                self._count.recovered.labels(datatype, shipment.how).inc()
            if outcome.deleted is not None:
                self._anew(outcome.deleted.other)
        elif isinstance(outcome.error, upload.Taken | shipping.Lost):
            _LOG.error("%s: %s; its files are packed anew", datatype, outcome.error)
            self._count.renamed.labels(datatype).inc()
            self._shipper.forget(shipment)
            self._shipments.remove(shipment)
            self._ledger.drop(shipment.members)
            self._anew([member.name for member in shipment.members])
        else:
            self._failed(shipment, outcome.error)

    def _anew(self, again: list[str]) -> None:
        due = time.monotonic() + ANEW_S
        self._later += [(due, name, 0) for name in again]

    def _stored(self, shipment: shipping.Shipment) -> None:
        self._count.uploaded.labels(self.of.name).inc()
        self._count.success.labels(self.of.name).set(time.time())
        # The label says the opposite of what it seems to, as ever: dashboards read it so.
        self._count.retry_runtime.labels("upload", "false").observe(time.monotonic() - shipment.began)
        shipment.failures = 0
        _LOG.info("stored %s: %d files, %d bytes", shipment.object_names[0], len(shipment.members), shipment.size)

    def _deleted(self, deleted: deletion.Deleted) -> None:
        self._count.removed.labels(self.of.name, "add_file").inc(deleted.removed)
        if deleted.errors:
            self._count.remove_errors.labels(self.of.name, "add_file").inc(len(deleted.errors))

    def _failed(self, shipment: shipping.Shipment, error: Exception) -> None:
        shipment.failures += 1
        asked_s = error.after_s if isinstance(error, upload.Failed) else 0.0
        last_s = timers.LOCAL_RETRY_S if isinstance(error, OSError) else timers.LAST_RETRY_S
        limit_s = DRAIN_RETRY_S if self._draining else last_s
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
            self._count.refused.labels(self.of.name).inc()
            level = logging.ERROR
        _LOG.log(level, "%s: %s; tried again in %.1f s", shipment.object_names[0], error, wait_s)

    def _report(self) -> None:
        name, now = self.of.name, time.monotonic()
        self._count.queue.labels(name).set(len(self.inbox) + len(self._later))
        self._count.waiting_bytes.labels(name).set(sum(each.size for each in self._shipments))
        self._count.in_flight.labels(name).set(sum(each.running for each in self._shipments))
        oldest = [each.since for each in self._shipments] + [each.born for each in self._bundles.values()]
        self._count.oldest.labels(name).set(now - min(oldest) if oldest else 0)
