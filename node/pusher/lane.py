"""One datatype: takes files as they are found, packs them into a bundle for each day, and sees each bundle on its way.

One thread decides everything, so nothing needs a lock but the inbox and what the commands leave for it. What is open is
in `filling`, what is sealed in `dispatch`; here is when each of them gets its turn, and when all is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from node.pusher import journal, names, shipping, taking, upload
from node.pusher.bundle import Format
from node.pusher.dispatch import Dispatch
from node.pusher.filling import Filling
from node.pusher.inbox import Inbox
from node.pusher.ledger import Ledger
from node.pusher.meters import Meters
from node.pusher.settings import Datatype

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
        left = journal.Journal(of.state)
        ledger, stamps = Ledger(), names.Stamps()
        shipper = shipping.Shipper(of.root, left, bucket, form)
        self._dispatch = Dispatch(of, shipper, ledger, count, self._changed)
        self._filling = Filling(of, form, ledger, stamps, count, self._dispatch.add)
        self._taker = taking.Taker(of, form, ledger, stamps, count, self._filling.bundle_for)
        self._later: list[tuple[float, str, int]] = []
        self._flush = False
        self._finish = False
        self.finished = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"pack-{of.name}")
        self._dispatch.take_up(left)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def offer(self, found: Iterable[str], *, closed: bool) -> bool:
        """Files to pack, by their names below the datatype's folder; False if there is no room for them now."""
        return self.inbox.offer(found, closed=closed)

    def flush(self) -> None:
        """Seal all bundles now, and go on."""
        with self._changed:
            self._flush = self._dispatch.draining = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Pack what was offered, seal, and end as soon as everything is stored."""
        with self._changed:
            self._finish = self._dispatch.draining = True
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
        return self._dispatch.unstored() + len(self._filling), self._unpacked()

    def _unpacked(self) -> int:
        return len(self.inbox) + len(self._later)

    def _run(self) -> None:
        try:
            self._turn()
            while not self._idle():
                self._wait()
                self._turn()
        finally:
            self._dispatch.close()
            self.finished.set()

    def _idle(self) -> bool:
        return self._finish and not self._unpacked() and not len(self._filling) and self._dispatch.ended()

    def _turn(self) -> None:
        with self._changed:
            flush, self._flush = self._flush, False
        again = self._dispatch.settle()
        due = time.monotonic() + ANEW_S
        self._later += [(due, name, 0) for name in again]
        now = time.monotonic()
        self._take_again(now)
        self._take(now)
        self._filling.seal_old(now)
        if flush or (self._finish and not self._unpacked()):
            self._filling.seal_all()
        self._dispatch.start(time.monotonic())
        self._report()

    def _wait(self) -> None:
        with self._changed:
            if self._dispatch.came() or self._flush or self._idle():
                return
            now = time.monotonic()
            dues = [*self._filling.due(), *self._dispatch.due(now), *(due for due, _, _ in self._later)]
            waits = [due - now for due in dues]
            due_s = self.inbox.due_s()
            if due_s is not None and not self._dispatch.full():
                waits.append(due_s)
            if self._finish and not self._unpacked() and len(self._filling):
                return
            self._changed.wait(max(0.0, min([*waits, 60.0])))

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
        while not self._dispatch.full() and time.monotonic() < until:
            with self._changed:
                batch = self.inbox.take()
            if batch is None:
                return
            self._taken(batch[1], closed=batch[0])

    def _taken(self, batch: list[str], *, closed: bool, tries: int = 0) -> None:
        for name in batch:
            try:
                bundle, again = self._taker.take(name, closed=closed)
            except taking.NoDescriptor:
                # Not a try: at the end, too, descriptors come back as bundles get done.
                self._later.append((time.monotonic() + ANEW_S, name, tries))
                continue
            if again and not (self._finish and tries >= LAST_TRIES):
                self._later.append((time.monotonic() + ANEW_S, name, tries + 1))
            if bundle is not None:
                self._filling.seal_if_large(bundle)
        self._taker.report()

    def _report(self) -> None:
        name, now = self.of.name, time.monotonic()
        self._count.queue.labels(name).set(self._unpacked())
        oldest = [*self._dispatch.since(), *self._filling.since()]
        self._count.oldest.labels(name).set(now - min(oldest) if oldest else 0)
        self._dispatch.report()
