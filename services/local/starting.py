"""Start one part of the platform and wait until it works, or say in one line why it does not.

A part works when its process listens on the very ports it was given and its own check is content. A part whose port
was taken in the meantime by somebody else is tried again with other ports.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from services.local import ports as port_numbers
from services.local import processes
from services.local.errors import PlatformError
from services.local.probe import Check
from services.local.processes import Launch, Running
from services.local.progress import Progress

TRIES = 4
POLL_S = 0.1
# What the programs say of a port that is taken: Go's, Python's and BIND's words.
LOST_PORT = ("address already in use", "Address already in use", "Errno 98", "address in use")


@dataclass(frozen=True, slots=True)
class Part:
    """One program of the platform; `launch` and `check` are given the ports that were picked for it."""

    name: str
    launch: Callable[[tuple[int, ...]], Launch]
    check: Callable[[tuple[int, ...]], Check]
    ports: int = 1
    deadline_s: float = 90.0
    listen: str = "127.0.0.1"


class Cancelled(PlatformError):
    """Another part failed, or the user interrupted: this one is given up."""


def start(part: Part, records: Path, progress: Progress, cancelled: threading.Event) -> Running:
    """Start a part and return once it works. Raises `PlatformError`; then the process is stopped."""
    for attempt in range(1, TRIES + 1):
        ports = port_numbers.free(part.ports, part.listen)
        launch = part.launch(ports)
        before = launch.log.stat().st_size if launch.log.exists() else 0
        began = time.monotonic()
        running = processes.spawn(launch, records, ports, asdict(part.check(ports)))
        try:
            _wait(part, running, cancelled)
        except PlatformError as error:
            processes.stop([running], records)
            said = _since(launch.log, before)
            if isinstance(error, Cancelled) or attempt == TRIES or not any(word in said for word in LOST_PORT):
                raise
            progress.say(f"{part.name}: one of its ports was taken meanwhile; once more with others")
            continue
        except BaseException:
            processes.stop([running], records)
            raise
        progress.advance(f"{part.name}: ready in {time.monotonic() - began:.1f} s")
        return running
    raise AssertionError("unreachable: the last try returns or raises")


def missing(running: Running) -> str:
    """What keeps a started part from being healthy; "" if nothing does."""
    if not processes.alive(running):
        return "not running"
    if not port_numbers.listening(running.pid).issuperset(running.ports):
        return f"does not listen on {', '.join(map(str, running.ports))} yet"
    return Check(**running.check).missing()


def _wait(part: Part, running: Running, cancelled: threading.Event) -> None:
    deadline = time.monotonic() + part.deadline_s
    while what := missing(running):
        if not processes.alive(running):
            raise PlatformError(
                f"{part.name}: ended while starting: {last_line(Path(running.log))}; log: {running.log}"
            )
        if time.monotonic() > deadline:
            raise PlatformError(f"{part.name}: not ready within {part.deadline_s:.0f} s: {what}; log: {running.log}")
        if cancelled.wait(POLL_S):
            raise Cancelled(f"{part.name}: given up because another part failed")


def last_line(log: Path) -> str:
    """The last line of a log that says something, cut to 200 characters."""
    lines = [line.strip() for line in _since(log, max(0, _size(log) - 4096)).splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def _since(log: Path, offset: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0
