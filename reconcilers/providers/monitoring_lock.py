"""The lock of a monitoring directory: one small JSON file with holder and expiry, in the directory it protects.

Reading, judging and replacing that file is one step under `flock` on a guard file beside it, so that two takers of an
expired lock have one winner. The kernel gives the guard back when a process is killed; the lock itself outlives its
holder until it expires, which is what keeps a second run away from a half written directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconcilers.core.errors import Permanent, Refused, Temporary
from reconcilers.core.provider import Holder
from reconcilers.providers import monitoring_files as files

LOCK = ".mlab-lock.json"
GUARD = ".mlab-lock.guard"
GUARD_WAIT_S = 5.0
"""How long a taker waits for another one that is inside the guard; that one needs a millisecond."""

Clock = Callable[[], float]


class FileLock:
    """A taken lock; `renew` before it expires, `release` at the end."""

    def __init__(self, directory: Path, scope: str, holder: Holder, ttl_s: float, clock: Clock = time.time) -> None:
        self._directory = directory
        self._scope = scope
        self._holder = holder
        self._ttl_s = ttl_s
        self._clock = clock
        with _guarded(directory):
            record = _read(directory)
            if record is not None and record["expires"] > clock() and record["identity"] != holder.identity:
                raise Refused(_held(scope, record))
            self._write()

    def renew(self) -> None:
        """Extend the expiry. An expired lock that nobody took is still ours."""
        with _guarded(self._directory):
            record = _read(self._directory)
            if record is None:
                raise Refused(f"{self._scope}: the lock was removed while it was held; plan again")
            if record["identity"] != self._holder.identity:
                raise Refused(_held(self._scope, record))
            self._write()

    def release(self) -> None:
        """Remove the lock if it is still ours."""
        with _guarded(self._directory):
            record = _read(self._directory)
            if record is not None and record["identity"] == self._holder.identity:
                (self._directory / LOCK).unlink(missing_ok=True)

    def _write(self) -> None:
        record = {
            "v": 1,
            "identity": self._holder.identity,
            "actor": self._holder.actor,
            "run": self._holder.run_url,
            "started": self._holder.started,
            "expires": round(self._clock() + self._ttl_s, 3),
        }
        files.write(self._directory / LOCK, json.dumps(record, sort_keys=True).encode() + b"\n")


def remove(directory: Path, scope: str, identity: str) -> None:
    """Remove the lock of exactly that holder; absent is fine, another holder is `Refused`."""
    with _guarded(directory):
        record = _read(directory)
        if record is None:
            return
        if record["identity"] != identity:
            raise Refused(_held(scope, record))
        (directory / LOCK).unlink(missing_ok=True)


def _held(scope: str, record: Mapping[str, Any]) -> str:
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record["expires"]))
    run = f", run {record['run']}" if record["run"] else ""
    return (
        f"{scope}: locked by {record['actor']} (holder {record['identity']}{run}), started {record['started']}, "
        f"until {until}; wait for it, or remove it with: mlab unlock {scope} --holder {record['identity']}"
    )


def _read(directory: Path) -> Mapping[str, Any] | None:
    """The lock as written, or None if there is none. One that nobody could have written counts as none."""
    try:
        record = json.loads((directory / LOCK).read_bytes())
        return {
            "identity": str(record["identity"]),
            "actor": str(record["actor"]),
            "run": str(record["run"]),
            "started": str(record["started"]),
            "expires": float(record["expires"]),
        }
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.failure(error, directory / LOCK) from None
    except (ValueError, KeyError, TypeError):
        return None


@contextmanager
def _guarded(directory: Path) -> Iterator[None]:
    try:
        descriptor = os.open(directory / GUARD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        raise Permanent(f"{directory}: no such directory; create it or correct targets.monitoring.directory") from None
    except OSError as error:
        raise files.failure(error, directory / GUARD) from None
    try:
        deadline = time.monotonic() + GUARD_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    where = directory / GUARD
                    raise Temporary(f"{where}: held by another process for {GUARD_WAIT_S:.0f} s; try again") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
