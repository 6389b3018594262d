"""Fault points: named places around every write at which a test ends the process, as a power cut would.

`MLAB_FAULT_LOG=FILE` appends each point passed; `MLAB_FAULT_AT=N` kills the process with SIGKILL at the Nth (from 0),
or with `MLAB_FAULT_STOP=1` only stops it there, as a machine that hangs would. None is set outside tests, and then a
point costs one comparison.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path


def from_environment() -> Callable[[str], None]:
    """The function that the engine and the providers call at each point."""
    log, at = os.environ.get("MLAB_FAULT_LOG"), os.environ.get("MLAB_FAULT_AT")
    if log is None and at is None:
        return lambda point: None
    counter = itertools.count()

    def point(name: str) -> None:
        number = next(counter)
        if log is not None:
            with Path(log).open("a") as file:
                file.write(f"{number} {name}\n")
        if at is not None and number == int(at):
            # To this very thread: a stop that another one takes leaves this one running, past the point, for a moment.
            ending = signal.SIGSTOP if os.environ.get("MLAB_FAULT_STOP") else signal.SIGKILL
            signal.pthread_kill(threading.get_ident(), ending)

    return point
