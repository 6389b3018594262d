"""Empties the kernel's event queue while the program is busy, into memory of a fixed bound.

The kernel queues 16,384 events, two for each new file, and drops the rest. A thread that does nothing but read raw
bytes keeps up with any writer and takes the interpreter's lock only once a buffer; everything that has to do with
files stays in the one thread of whoever asked. That thread waits for one descriptor, which is readable when there are
events, and once a second. When the bound is reached, reading stops: then the kernel's own bound holds, and what it
drops is an overflow, which the tree makes good by listing.
"""

from __future__ import annotations

import collections
import os
import select
import threading
from contextlib import suppress

from node.watch import inotify

BOUND_BYTES = 32 << 20
_READ_BYTES = 1 << 18
_GATHER_S = 0.005
"""After the first event of a burst: the next read takes many at once."""
TICK_S = 1.0


class Reader:
    """The queue and its thread. `wake` is the descriptor to wait for; `take` gives what was read."""

    def __init__(self, bound_bytes: int = BOUND_BYTES) -> None:
        self._bound_bytes = bound_bytes
        self._buffers: collections.deque[bytes] = collections.deque()
        self._held_bytes = 0
        self._guard = threading.Lock()
        self._room = threading.Event()
        self._room.set()
        self._closing = False
        self.queue = inotify.open_queue()
        opened = [self.queue]
        try:
            self.wake = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            opened.append(self.wake)
            self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            raise
        self._thread = threading.Thread(target=self._run, daemon=True, name="inotify")
        self._thread.start()

    def take(self) -> bytes | None:
        """The oldest buffer of events, if there is one."""
        with self._guard:
            if not self._buffers:
                return None
            buffer = self._buffers.popleft()
            self._held_bytes -= len(buffer)
        self._room.set()
        return buffer

    def rouse(self) -> None:
        """Make `wake` readable: there is more to do."""
        os.eventfd_write(self.wake, 1)

    def calm(self) -> None:
        """Make `wake` unreadable until something happens; before looking for work, never after."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.wake)

    def close(self) -> None:
        self._closing = True
        self._room.set()
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        for descriptor in (self.queue, self.wake, self._stop):
            os.close(descriptor)

    def _run(self) -> None:
        events = select.poll()
        events.register(self.queue, select.POLLIN)
        events.register(self._stop, select.POLLIN)
        stop = select.poll()
        stop.register(self._stop, select.POLLIN)
        while not self._closing:
            ready = events.poll(TICK_S * 1000)
            if ready and not stop.poll(_GATHER_S * 1000):
                with suppress(BlockingIOError):
                    buffer = os.read(self.queue, _READ_BYTES)
                    with self._guard:
                        self._buffers.append(buffer)
                        self._held_bytes += len(buffer)
                        if self._held_bytes >= self._bound_bytes:
                            self._room.clear()
            self.rouse()
            while not self._room.wait(TICK_S) and not self._closing:
                self.rouse()
