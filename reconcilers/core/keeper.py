"""Keeps a scope's lock while its changes are written, and stops the writes at once when the lock is lost."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from reconcilers.core.errors import MlabError, Refused
from reconcilers.core.provider import Lock


class Keeper:
    """Renews every third of the time to live; a renewal that fails until the lock has expired counts as lost."""

    def __init__(self, lock: Lock, ttl_s: float) -> None:
        self._lock = lock
        self._ttl_s = ttl_s
        self._valid_until = time.monotonic() + ttl_s
        self._lost = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lock-keeper", daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            self._lock.release()
        except MlabError:
            pass  # it expires by itself, and the outcome of the writes must not be hidden

    def check(self) -> None:
        """Raise `Refused` if the lock is not ours any more."""
        if self._lost:
            raise Refused(f"the lock was lost while writing: {self._lost}; nothing more is written, run apply again")
        if time.monotonic() > self._valid_until:
            raise Refused("the lock expired before it could be renewed; nothing more is written, run apply again")

    def _renew(self) -> None:
        while not self._stop.wait(self._ttl_s / 3):
            asked = time.monotonic()
            try:
                self._lock.renew()
            except Refused as error:
                self._lost = str(error)
                return
            except MlabError:
                continue  # tried again at the next third; `check` counts the time
            self._valid_until = asked + self._ttl_s
