"""The loop: a poll every 10 ms by an absolute clock, the kernel's word on sockets that ended, and work in between.

One thread does it all, so that nothing waits for a lock or for another's turn. A poll never writes a file; work is done
in pieces of a fraction of a millisecond, and before each of them, and between the buffers of a dump, sockets that ended
are taken out of the kernel's queue. If a poll is late, the ticks that passed are skipped and counted. When snapshots
come faster than they can be written, polls wait.
"""

from __future__ import annotations

import gc
import logging
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from node.tcpinfo import addresses, changes, connections, events, meters, netlink

_LOG = logging.getLogger("tcpinfo")
BACKLOG = 50_000
"""Messages of some 500 bytes that wait to be written before polls wait for them."""
LAST_ENDS_S = 0.5
"""How long the end of the program waits for ends that the kernel has still to tell."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to poll, and how many times; 0: for ever."""

    interval_s: float
    cycles: int


class Recorder:
    """Everything that lives as long as the program polls."""

    def __init__(
        self,
        pace: Pace,
        of: connections.Connections,
        count: meters.Meters,
        stream: events.EventSocket | None,
        replay: bool,
    ) -> None:
        self._pace = pace
        self._of = of
        self._count = count
        self._stream = stream
        self._replay = replay
        # Before the first dump: whoever ends after it is announced.
        self._destroyed = netlink.Destroyed()
        self._families = {
            "ipv6": (netlink.Dumps(socket.AF_INET6), changes.Changes()),
            "ipv4": (netlink.Dumps(socket.AF_INET), changes.Changes()),
        }
        self._waiting = select.poll()
        self._waiting.register(self._destroyed, select.POLLIN)
        self._ended: list[bytes] = []
        self._reported = (0, 0)
        self._seconds = 0
        self._said = ""
        _LOG.info("the kernel queues %d bytes of sockets that ended", self._destroyed.buffer_bytes)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Poll until told to stop."""
        gc.collect()
        gc.freeze()
        gc.disable()
        due = second = time.monotonic()
        last = 0.0
        cycles = 0
        while not stopping():
            now = time.monotonic()
            if last:
                self._count.interval_s.observe(now - last)
            last = now
            self.poll()
            cycles += 1
            if self._pace.cycles and cycles >= self._pace.cycles:
                return
            if now >= second:
                second = now + 1
                self._each_second()
            due += self._pace.interval_s
            late = int((time.monotonic() - due) / self._pace.interval_s)
            if late > 0:
                self._count.late.inc(late)
                due += late * self._pace.interval_s
            self._between(due, stopping)

    def poll(self) -> None:
        """One dump of each family, then what ended before or while they were made."""
        found = {}
        for family, (dumps, known) in self._families.items():
            began = time.perf_counter()
            changed = known.of(self._draining(dumps.buffers()))
            found[family] = (changed, time.time_ns())
            self._count.syscall_s.labels(family).observe(time.perf_counter() - began)
            self._count.connections.labels(family).observe(known.count)
        # Only now: who is in a dump had not ended when the kernel said so.
        ended, self._ended = self._ended, []
        for family in ("ipv4", "ipv6"):
            self._of.saw(*found[family])
            dumps, known = self._families[family]
            if known.error is not None:
                if str(known.error) != self._said:  # a hundred times a second would hide all else
                    self._said = str(known.error)
                    _LOG.warning("dump of %s: %s", family, known.error)
                self._count.errors.labels(known.error.kind).inc()
            elif dumps.interrupted:
                self._count.interrupted.inc()
            else:
                for cookie in known.gone(time.monotonic()):
                    self._of.ended(cookie, None, time.time_ns())
        self._end(ended)
        self._count.cached.observe(len(self._of))
        self._report_written()

    def _draining(self, buffers: Iterator[bytes]) -> Iterator[bytes]:
        for data in buffers:
            self._drain()
            yield data

    def _drain(self) -> None:
        found = self._destroyed.drain()
        if found:
            self._ended += found
        if self._destroyed.overflows:
            self._count.overflows.inc(self._destroyed.overflows)
            self._destroyed.overflows = 0

    def _end(self, ended: list[bytes]) -> None:
        now_ns = time.time_ns()
        for data in ended:
            message = netlink.destroyed(data)
            if message is None:
                continue
            cookie = addresses.cookie(message)
            for _, known in self._families.values():
                known.forget(cookie)
            self._of.ended(cookie, message, now_ns)

    def _between(self, due: float, stopping: Callable[[], bool]) -> None:
        """Work until the next poll is due, and while too much waits."""
        if self._stream is not None:
            fresh = self._stream.accept()
            if fresh and self._replay:
                self._stream.send(self._of.replay(), to=fresh)
            self._stream.pump()
        while not stopping():
            self._drain()
            if self._of.work(time.time_ns()):
                if time.monotonic() >= due and self._of.backlog < BACKLOG:
                    return
                continue
            left = due - time.monotonic()
            if left <= 0:
                return
            if left >= 0.001:
                # Whole milliseconds: the kernel rounds a wait up to one.
                self._wait(int(left * 1000))
            else:
                time.sleep(left)

    def _wait(self, milliseconds: int) -> None:
        self._waiting.poll(milliseconds)

    def _each_second(self) -> None:
        # By hand, since the collector would stop a poll at any time; the oldest generation once in ten minutes.
        self._seconds += 1
        gc.collect(0 if self._seconds % 600 else 2)
        self._of.sweep(time.time_ns())
        sent, received = self._of.sent_bytes, self._of.received_bytes
        self._count.sent_bits.observe(8 * max(0, sent - self._reported[0]))
        self._count.received_bits.observe(8 * max(0, received - self._reported[1]))
        self._reported = (sent, received)

    def _report_written(self) -> None:
        written, self._of.written = self._of.written, 0
        self._count.snapshots.inc(written)

    def finish(self) -> int:
        """A last poll, and every file. How many could not be written."""
        patience_s = time.monotonic() + LAST_ENDS_S
        self.poll()
        # The kernel may still have to tell of those that the poll lacks.
        while any(known.missing for _, known in self._families.values()) and time.monotonic() < patience_s:
            self._wait(10)
            self._drain()
            ended, self._ended = self._ended, []
            self._end(ended)
        self._drain()
        self._end(self._ended)
        left = self._of.finish_all()
        self._destroyed.close()
        for dumps, _ in self._families.values():
            dumps.close()
        return left
