"""Detached child processes that survive this one, and that can be found and ended after any crash.

A record of each process is on disk before its program runs: the child waits on a pipe until its parent has written
the record, and ends by itself if the parent dies first. A record names the process by pid, start time (field 22 of
`/proc/PID/stat`) and boot, so that a pid which the kernel has given to somebody else is never signalled; signals go
through a pidfd, which closes the last gap between looking and killing.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Waits for one byte on its input: end of file means that the parent died before the record was written.
LAUNCHER = (
    "import os,sys\n"
    "if not os.read(0,1): sys.exit(0)\n"
    "null=os.open('/dev/null',os.O_RDONLY)\n"
    "os.dup2(null,0); os.close(null); os.chdir(sys.argv[1]); os.execv(sys.argv[2],sys.argv[2:])\n"
)


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run. The command's first word is an absolute path; its words are readable by all, so: no secrets."""

    name: str
    command: tuple[str, ...]
    log: Path
    directory: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """The record of a started process."""

    name: str
    pid: int
    start_ticks: int
    boot_id: str
    log: str
    ports: tuple[int, ...] = ()
    check: Mapping[str, str] = field(default_factory=dict)
    """What makes it healthy, as whoever started it wrote it down; of no meaning here."""


def spawn(
    launch: Launch, records: Path, ports: tuple[int, ...] = (), check: Mapping[str, str] | None = None
) -> Running:
    """Start a process in a session of its own, its output appended to its log, its record in `records`."""
    records.mkdir(parents=True, exist_ok=True, mode=0o700)
    launch.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    reader, writer = os.pipe()
    try:
        output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", LAUNCHER, str(launch.directory), *launch.command],
            {**_environment(), **launch.environment},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reader, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(launch.log), output, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        running = Running(launch.name, pid, _start_ticks(pid) or 0, boot_id(), str(launch.log), ports, check or {})
        _write(record_path(records, launch.name), json.dumps(asdict(running)))
        os.write(writer, b"\n")
    finally:
        os.close(reader)
        os.close(writer)
    return running


def record_path(records: Path, name: str) -> Path:
    """`sandbox/etcd` is kept in `sandbox.etcd.json`."""
    return records / (name.replace("/", ".") + ".json")


def recorded(records: Path) -> tuple[Running, ...]:
    """Every process that was started and not yet ended by us, alive or not, sorted by name."""
    found = []
    for path in sorted(records.glob("*.json")):
        # A hidden one is half written: by another thread, or by a run that was killed while its child still waited.
        if path.name.startswith("."):
            continue
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError:  # ended meanwhile
            continue
        found.append(Running(**{**data, "ports": tuple(data["ports"])}))
    return tuple(found)


def boot_id() -> str:
    """This boot of the machine: start times are counted from it."""
    return BOOT_ID.read_text().strip()


def alive(running: Running) -> bool:
    """Whether this very process still runs (not: whether some process has its pid)."""
    try:
        os.waitpid(running.pid, os.WNOHANG)
    except ChildProcessError:
        # Not our child: it was started by an earlier run, or is reaped already.
        pass
    return running.boot_id == boot_id() and _start_ticks(running.pid) == running.start_ticks


def stop(processes: Iterable[Running], records: Path, *, grace_s: float = 10.0) -> tuple[Running, ...]:
    """End processes: SIGTERM to all, SIGKILL to those alive after the grace; then forget their records.

    Returns those that had to be killed.
    """
    open_fds = [(running, fd) for running in processes if (fd := _open(running, records)) is not None]
    try:
        for _, fd in open_fds:
            _signal(fd, signal.SIGTERM)
        killed = _ended_within(open_fds, grace_s)
        for _, fd in killed:
            _signal(fd, signal.SIGKILL)
        # A killed process ends at once unless the kernel itself is stuck: then the record has to stay.
        stuck = {running.pid for running, _ in _ended_within(killed, grace_s)}
        for running, _ in open_fds:
            alive(running)
            if running.pid not in stuck:
                record_path(records, running.name).unlink(missing_ok=True)
        return tuple(running for running, _ in killed)
    finally:
        for _, fd in open_fds:
            os.close(fd)


def _open(running: Running, records: Path) -> int | None:
    """A pidfd of the recorded process; None (and the record forgotten) if it is gone."""
    try:
        fd = os.pidfd_open(running.pid)
    except ProcessLookupError:
        fd = None
    # Looked at after the pidfd is open: from here on, the pid cannot come to mean another process.
    if fd is not None and alive(running):
        return fd
    if fd is not None:
        os.close(fd)
    record_path(records, running.name).unlink(missing_ok=True)
    return None


def _signal(fd: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        pass


def _ended_within(processes: list[tuple[Running, int]], grace_s: float) -> list[tuple[Running, int]]:
    """Wait until all have ended; those that have not within the grace are returned."""
    deadline = time.monotonic() + grace_s
    poller = select.poll()
    left = {fd: running for running, fd in processes}
    for fd in left:
        poller.register(fd, select.POLLIN)
    while left and (remaining_s := deadline - time.monotonic()) > 0:
        for fd, _ in poller.poll(remaining_s * 1000):
            poller.unregister(fd)
            del left[fd]
    return [(running, fd) for fd, running in left.items()]


def _start_ticks(pid: int) -> int | None:
    """Start time in clock ticks since boot; None if there is no such process or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses itself: fields are counted from the last one.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _environment() -> dict[str, str]:
    """This process's environment without proxies: nothing of the platform may leave the loopback."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(text)
    unfinished.replace(path)
