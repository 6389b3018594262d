"""Whether a file is complete: nobody has it open for writing.

The kernel knows, and tells by a read lease (fcntl(2), F_SETLEASE): it is granted only when no descriptor and no mapping
writes to the file. The lease is given back at once. Who asks must own the file or have CAP_LEASE; without, or on a file
system without leases, the answer is `UNPROVEN`.

Only regular files are ever opened. A lease that a writer runs into in the microseconds of its life is broken by a
SIGIO, whose default is death: a program calls `survive_broken_leases` first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from enum import Enum

from node.watch import beneath

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_NO_FILE = (errno.ELOOP, errno.EXDEV, errno.ENXIO, errno.ENODEV, errno.EISDIR)


EMPTY_S = 2.0
"""How long an empty file that was only found must stay so: between making a file and counting its maker as a writer the
kernel grants leases, and a busy machine may stop the maker there for a while."""


def survive_broken_leases() -> None:
    """Ignore SIGIO unless the program handles it; in the main thread, for the whole program."""
    if signal.getsignal(signal.SIGIO) is signal.SIG_DFL:
        signal.signal(signal.SIGIO, signal.SIG_IGN)


class State(Enum):
    """What a look at a file told."""

    CLOSED = "closed"
    WRITING = "open for writing"
    UNPROVEN = "no lease can be had"
    GONE = "gone"
    IRREGULAR = "not a regular file"
    UNREADABLE = "cannot be opened"
    NO_DESCRIPTOR = "no descriptor is left"


def glance(folder: int, path: bytes) -> os.stat_result | State:
    """Without opening anything: the status of a regular file below `folder`, or why there is none."""
    try:
        status = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        return _why(error)
    return status if stat.S_ISREG(status.st_mode) else State.IRREGULAR


def look(folder: int, path: bytes) -> tuple[State, os.stat_result | None]:
    """Open it, ask for a lease, close it. The status is that of what was opened."""
    try:
        descriptor = beneath.open_file(folder, path)
    except OSError as error:
        return _why(error), None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return State.IRREGULAR, None
        return leased(descriptor), status
    finally:
        os.close(descriptor)


def leased(descriptor: int) -> State:
    """`CLOSED`, `WRITING` or `UNPROVEN`, of an open file."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return State.WRITING if error.errno == errno.EAGAIN else State.UNPROVEN
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return State.CLOSED


def _why(error: OSError) -> State:
    if error.errno in _NOT_THERE:
        return State.GONE
    if error.errno in beneath.NO_DESCRIPTORS:
        return State.NO_DESCRIPTOR
    return State.IRREGULAR if error.errno in _NO_FILE else State.UNREADABLE
