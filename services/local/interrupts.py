"""Ends by signal, for commands that start processes: the first one interrupts, later ones disturb no clean-up.

^C, a hang-up and a termination all come as `KeyboardInterrupt` in the main thread. An impatient second ^C would
otherwise end the very work that takes the processes away. (SIGQUIT still ends everything at once; what it leaves is
found by the next `up` or `down`.)
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """The handlers of one process; only its main thread may make one."""

    def __init__(self) -> None:
        self._came = self._raised = False
        self._held = 0
        for number in SIGNALS:
            # Who started us with nohup does not want a hang-up to end us.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._take)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no interrupt come within: a process that was just started is known by name when the block ends."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self._raise()

    def over(self) -> None:
        """From now on signals do nothing: what is left to do is the clean-up."""
        self._raised = True

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        self._raise()

    def _raise(self) -> None:
        if self._came and not self._raised and not self._held:
            self._raised = True
            raise KeyboardInterrupt
