"""Names of files that wait to be packed, in a bounded queue between the threads that find them and the one that packs.

When it is full, whoever may wait does, and whoever may not is told: the files are on the disk, a search finds them.
A name rests for a moment before it is taken, so that a file that is closed and then renamed is packed under its last
name only.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

LIMIT = 200_000
REST_S = 0.05


class Inbox:
    """For any number of threads that offer, and one that takes."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._batches: deque[tuple[float, bool, list[str]]] = deque()
        self._length = 0
        self.resting = True
        """False: names are taken at once."""

    def __len__(self) -> int:
        return self._length

    def offer(self, names: Iterable[str], *, closed: bool) -> bool:
        """False if there is no room. `closed`: the kernel said so."""
        batch = list(names)
        with self._changed:
            if self._length + len(batch) > LIMIT:
                return False
            if batch:
                self._batches.append((time.monotonic(), closed, batch))
                self._length += len(batch)
                self._changed.notify_all()
        return True

    def due_s(self) -> float | None:
        """Seconds until something may be taken; None: there is nothing. Under the condition."""
        if not self._batches:
            return None
        return max(0.0, self._batches[0][0] + REST_S - time.monotonic()) if self.resting else 0.0

    def take(self) -> tuple[bool, list[str]] | None:
        """The oldest batch, if it has rested. Under the condition."""
        if self.due_s() != 0.0:
            return None
        _, closed, batch = self._batches.popleft()
        self._length -= len(batch)
        self._changed.notify_all()
        return closed, batch
