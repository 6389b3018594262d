"""Keeps a scope's lock while its changes are written, and stops the writes at once when the lock is lost.

However the writes end, the lock is given back: what fails for a moment is tried again while the lock would hold.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import count
from types import TracebackType

from reconcilers.core.errors import MlabError, Refused, Temporary
from reconcilers.core.provider import Lock
from reconcilers.core.retry import Policy

RELEASE_TRIES = 3
"""Enough for a server that is busy; one that is gone must not keep a run from its end."""


class Keeper:
    """Renews every third of the time to live; a renewal that fails until the lock has expired counts as lost."""

    def __init__(self, lock: Lock, ttl_s: float, policy: Policy) -> None:
        self._lock = lock
        self._ttl_s = ttl_s
        self._policy = replace(policy, tries=RELEASE_TRIES)
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
        self._release()

    def _release(self) -> None:
        for tried in count(1):
            try:
                self._lock.release()
                return
            except Temporary as error:
                pause = self._policy.pause_s(tried, error)
                if pause is None or time.monotonic() + pause > self._valid_until:
                    return  # it expires by itself, and the outcome of the writes must not be hidden
                self._policy.sleep(pause)
            except MlabError:
                return

    def check(self) -> None:
        """Raise `Refused` if the lock is not ours any more."""
        if self._lost:
            raise Refused(f"the lock was lost while writing: {self._lost}; nothing more is written, run apply again")
        if time.monotonic() > self._valid_until:
            raise Refused("the lock expired before it could be renewed; nothing more is written, run apply again")

    @property
    def lost(self) -> bool:
        """True if the lock is not ours any more, or may not be."""
        return bool(self._lost) or time.monotonic() > self._valid_until

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
