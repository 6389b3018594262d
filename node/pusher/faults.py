"""Fault points: named places at each write, renaming, fsync, upload and deletion, where a test ends the process as a
power cut would.

`MLAB_FAULT_LOG=FILE` appends each point passed. `MLAB_FAULT_AT=N` kills the process with SIGKILL at the Nth point (from
0), `MLAB_FAULT_AT=NAME:N` at the Nth time that this one is passed; with `MLAB_FAULT_STOP=1` it is only stopped there.
None is set outside tests, and then a point costs one comparison.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

POINTS = (
    "content-before-write",
    "content-after-write",
    "content-before-fsync",
    "content-after-fsync",
    "journal-before-create",
    "journal-after-create",
    "journal-half-written",
    "journal-before-fsync",
    "journal-after-fsync",
    "journal-after-folder-fsync",
    "upload-before",
    "upload-after",
    "stored-before-write",
    "stored-after-write",
    "stored-after-fsync",
    "member-before-unlink",
    "member-after-unlink",
    "content-before-unlink",
    "content-after-unlink",
    "journal-before-unlink",
    "journal-after-unlink",
    "sampled-before-unlink",
    "sampled-after-unlink",
    "quarantine-before-rename",
    "quarantine-after-rename",
    "directory-before-rmdir",
    "directory-after-rmdir",
)
"""All of them, in the order of a file's life."""


def from_environment() -> Callable[[str], None]:
    """The function that the program calls at each point."""
    log, at = os.environ.get("MLAB_FAULT_LOG"), os.environ.get("MLAB_FAULT_AT")
    if log is None and at is None:
        return lambda name: None
    of, _, wanted = (at or "-1").rpartition(":")
    if of and of not in POINTS:
        raise ValueError(f"MLAB_FAULT_AT names {of!r}, which is no fault point")
    counters: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)

    def point(name: str) -> None:
        number, own = next(counters[""]), next(counters[name])
        if log is not None:
            with open(log, "a") as file:  # noqa: PTH123 - may be a pipe
                file.write(f"{number} {name}:{own}\n")
        if int(wanted) == (own if of else number) and of in ("", name):
            # To this very thread: a stop that another one takes leaves this one running, past the point, for a moment.
            ending = signal.SIGSTOP if os.environ.get("MLAB_FAULT_STOP") else signal.SIGKILL
            signal.pthread_kill(threading.get_ident(), ending)

    return point


point = from_environment()
