"""The lock of a monitoring directory: one small JSON file with holder and expiry, in the directory it protects.

Reading, judging and replacing that file is one step under `flock` on a guard file beside it, so that two takers of an
expired lock have one winner. The kernel gives the guard back when a process is killed; the lock itself outlives its
holder until it expires, which is what keeps a second run away from a half written directory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from reconcilers.core.errors import Refused
from reconcilers.core.provider import Holder, taken
from reconcilers.providers import whole_files
from reconcilers.providers.monitoring.files import TEMPORARY

LOCK = ".mlab-lock.json"
GUARD = ".mlab-lock.guard"

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
                whole_files.remove(self._directory / LOCK)

    def _write(self) -> None:
        record = {
            "v": 1,
            "identity": self._holder.identity,
            "actor": self._holder.actor,
            "run": self._holder.run_url,
            "started": self._holder.started,
            "expires": round(self._clock() + self._ttl_s, 3),
        }
        whole_files.replace(
            self._directory / LOCK, json.dumps(record, sort_keys=True).encode() + b"\n", prefix=TEMPORARY
        )


def remove(directory: Path, scope: str, identity: str) -> None:
    """Remove the lock of exactly that holder; absent is fine, another holder is `Refused`."""
    with _guarded(directory):
        record = _read(directory)
        if record is None:
            return
        if record["identity"] != identity:
            raise Refused(_held(scope, record))
        whole_files.remove(directory / LOCK)


def _held(scope: str, record: Mapping[str, Any]) -> str:
    return taken(scope, Holder(record["identity"], record["actor"], record["run"], record["started"]))


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
        raise whole_files.failure(error, directory / LOCK) from None
    except (ValueError, KeyError, TypeError):
        return None


def _guarded(directory: Path) -> AbstractContextManager[None]:
    return whole_files.turn(directory / GUARD, "targets.monitoring.directory")
