"""The platform's folder: its lock, its state, and how all of it is taken away again.

    state.json       what was started with which settings, and whether that start came to its end
    platform.json    where the targets are: the overlay that the command line lays over the environments
    processes/       a record per process
    logs/ENV/        a log per program
    ENV/             keys, kubeconfigs and data of one environment

Everything below the folder is ours and is removed by `wipe`; a folder that holds anything else is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from services.local import processes, starting
from services.local.errors import PlatformError
from services.local.processes import Running
from services.local.progress import Progress

STATE, PLATFORM, LOCK = "state.json", "platform.json", "lock"
# Writers first, then those they write to: an API server without its etcd takes a minute to give up.
LAST_TO_STOP = ("kube-apiserver", "etcd")
GRACE_S = 15.0


@dataclass(frozen=True, slots=True)
class State:
    """What a platform is. `stage` is the last stage that came to its end; `starting` is True until then."""

    stage: str
    starting: bool
    environments: Mapping[str, str]
    listen: str
    extra_names: tuple[str, ...]
    namespace: str | None
    zones: Mapping[str, list[str]] = field(default_factory=dict)


def records(folder: Path) -> Path:
    """Where the records of processes lie."""
    return folder / "processes"


def load(folder: Path) -> State | None:
    """The state, None if no platform was ever started here or it was taken away."""
    try:
        document = json.loads((folder / STATE).read_text())
    except FileNotFoundError:
        return None
    try:
        return State(**{**document, "extra_names": tuple(document["extra_names"])})
    except (TypeError, KeyError):
        # Written by another version of this program: what it started is to be taken away.
        return State("light", True, {}, "", (), None)


def store(folder: Path, state: State) -> None:
    """Write the state in one step."""
    replace(folder / STATE, json.dumps(asdict(state), indent=2) + "\n")


def replace(path: Path, text: str) -> None:
    """Write a file so that a reader sees the former or the new one, never a part."""
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(text)
    unfinished.replace(path)


@contextmanager
def locked(folder: Path, progress: Progress) -> Iterator[None]:
    """Be the only one who starts or stops this platform; the lock ends with its process."""
    _prepare(folder)
    path = folder / LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # the folder was removed by a `down` this moment
            continue
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.say(f"waiting for another up or down of {folder}")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever had it may have removed the folder: then this is the lock of nothing.
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                yield
                return
        finally:
            os.close(descriptor)


def stop_all(folder: Path) -> tuple[Running, ...]:
    """End every recorded process in the order that lets each end by itself; returns those that had to be killed.

    Raises `PlatformError` if one cannot be ended at all; its record stays.
    """
    left = processes.recorded(records(folder))
    killed: tuple[Running, ...] = ()
    for program in (None, *LAST_TO_STOP):
        wave = [one for one in left if (_program(one) == program if program else _program(one) not in LAST_TO_STOP)]
        killed += processes.stop(wave, records(folder), grace_s=GRACE_S)
    if stuck := processes.recorded(records(folder)):
        names = ", ".join(f"{one.name} (process {one.pid})" for one in stuck)
        raise PlatformError(f"{names}: the kernel does not let it end; try `mlab down` again")
    return killed


def wipe(folder: Path) -> None:
    """Remove everything below the folder but the held lock; `state.json` goes last, so a crash is repeated."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == STATE):
        if entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def remove(folder: Path) -> None:
    """Remove the emptied folder with its held lock.

    Whoever comes once the lock's file is gone starts anew in the folder, which then stays: it is theirs.
    """
    (folder / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def ailing(folder: Path) -> str:
    """What is wrong with a platform that was started here before; "" if all of it runs."""
    for running in processes.recorded(records(folder)):
        if not processes.alive(running):
            return f"{running.name} is not running any more ({starting.last_line(Path(running.log))})"
    return ""


def _program(running: Running) -> str:
    return running.name.rpartition("/")[2]


def _prepare(folder: Path) -> None:
    """Refuse a folder of somebody else's: `down` would remove what is in it."""
    known = {STATE, PLATFORM, LOCK}
    if folder.exists() and not (folder / STATE).exists():
        foreign = sorted(entry.name for entry in folder.iterdir() if entry.name.lstrip(".") not in known)
        if foreign:
            raise PlatformError(f"{folder} holds other files ({', '.join(foreign[:3])}): name an empty folder")
