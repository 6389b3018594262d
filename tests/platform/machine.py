"""What runs, listens and is written on this machine, as the kernel tells it.

Processes of a test are told apart by a variable in their environment, which every child inherits: whatever a command
started, in whatever session or group, carries the mark.
"""

from __future__ import annotations

import os
from pathlib import Path

MARK = "MLAB_TEST_MARK"
PROC = Path("/proc")
LISTENING = "0A"
WRITING = os.O_WRONLY | os.O_RDWR


def marked(mark: str) -> dict[int, str]:
    """Every living process with this mark: its command line by its number."""
    wanted, found = f"{MARK}={mark}".encode(), {}
    for folder in PROC.glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it ended meanwhile
            continue
    return found


def listening(pid: int | str = "self") -> frozenset[int]:
    """Every TCP port on which anybody listens in the network namespace of a process."""
    tables = [(PROC / str(pid) / "net" / name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = (line.split() for table in tables for line in table)
    return frozenset(int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTENING)


def written(pid: int) -> set[Path]:
    """The regular files that a process has open for writing."""
    found = set()
    for link in (PROC / str(pid) / "fd").iterdir():
        try:
            flags = next(
                line for line in (PROC / str(pid) / "fdinfo" / link.name).read_text().splitlines() if "flags" in line
            )
            target = link.readlink()
            if int(flags.split()[1], 8) & WRITING and link.is_file() and not str(target).endswith(" (deleted)"):
                found.add(target)
        except OSError:  # closed meanwhile
            continue
    return found


def output(pid: int) -> tuple[Path, Path]:
    """Where a process writes what it says."""
    first, second = ((PROC / str(pid) / "fd" / name).readlink() for name in ("1", "2"))
    return first, second


def network(pid: int | str = "self") -> str:
    """The network namespace of a process."""
    return str((PROC / str(pid) / "ns" / "net").readlink())
