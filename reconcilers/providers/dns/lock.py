"""The lock of a DNS scope: a TXT record in each of its zones, with holder and expiry, taken by prerequisite.

Every transaction of the holder also swaps this record for its next state (`n` counts on), on the condition that it is
still the one last written. So the server itself refuses the write of a run whose lock was taken over, however late.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconcilers.core.errors import Conflict, MlabError, Refused
from reconcilers.core.provider import Holder, taken
from reconcilers.providers.dns import records
from reconcilers.providers.dns.records import Backend, Key, RecordSet, Swap

LABEL = "_mlab-lock"
TTL_S = 0
_FIELDS = ("identity", "actor", "run_url", "started", "nonce", "expires", "n")


def lock_key(scope: str, zone: str) -> Key:
    """Where the lock of a scope is in a zone: two environments that share a zone have one each."""
    return f"{scope.partition('/')[0]}.{LABEL}.{zone}", "TXT"


class ZoneLock:
    """The lock in one zone, held."""

    def __init__(self, backend: Backend, zone: str, scope: str, holder: Holder, ttl_s: float) -> None:
        self._backend, self._zone, self._scope, self._holder, self._ttl_s = backend, zone, scope, holder, ttl_s
        self._key = lock_key(scope, zone)
        self._nonce = secrets.token_hex(4)
        self._guard = threading.RLock()
        self._last: RecordSet | None = None
        """What we wrote last; None while it is not known whether that arrived."""
        self._n, self._expires = 0, 0.0
        self._take()

    def swap(self, swaps: Sequence[Swap]) -> None:
        """Write a transaction on the condition that the lock is ours. Raises `Refused` if it is not."""
        with self._guard:
            self._step(swaps, self._expires)

    def renew(self) -> None:
        """Extend the expiry; an expired lock that nobody took is still ours."""
        with self._guard:
            try:
                self._step((), time.time() + self._ttl_s)
            except Conflict:
                # Ours all the same (or it would be Refused): an earlier write came through whose answer did not.
                self._step((), time.time() + self._ttl_s)

    def release(self) -> None:
        """Give it back, if it is still ours."""
        with self._guard:
            try:
                self._backend.swap(self._zone, [Swap(self._key, self._known(), None)])
            except (Conflict, Refused):
                pass

    def _take(self) -> None:
        found = self._backend.get(self._zone, self._key)
        held = _read(found)
        if held is not None and held["expires"] > time.time() and held["identity"] != self._holder.identity:
            raise Refused(_taken(self._scope, held))
        self._expires = time.time() + self._ttl_s
        made = self._record(1, self._expires)
        try:
            self._backend.swap(self._zone, [Swap(self._key, found, made)])
        except Conflict:
            if _nonce(self._backend.get(self._zone, self._key)) != self._nonce:
                text = f"the lock of {self._scope} was taken by another run this moment; try again"
                raise Refused(text) from None
        self._n, self._last = 1, made

    def _step(self, swaps: Sequence[Swap], expires: float) -> None:
        before = self._known()
        after = self._record(self._n + 1, expires)
        self._last = None
        try:
            self._backend.swap(self._zone, [*swaps, Swap(self._key, before, after)])
        except Conflict:
            self._known()
            raise
        self._n, self._expires, self._last = self._n + 1, expires, after

    def _known(self) -> RecordSet:
        if self._last is None:
            found = self._backend.get(self._zone, self._key)
            held = _read(found)
            if found is None or held is None or held["nonce"] != self._nonce:
                who = "removed" if held is None else f"taken over by {held['identity']} ({held['actor']})"
                raise Refused(f"the lock of {self._scope} was {who}")
            self._last, self._n, self._expires = found, held["n"], held["expires"]
        return self._last

    def _record(self, n: int, expires: float) -> RecordSet:
        who = self._holder
        document = dict(
            zip(
                _FIELDS,
                (who.identity, who.actor, who.run_url, who.started, self._nonce, round(expires, 3), n),
                strict=True,
            )
        )
        return RecordSet(TTL_S, (records.text(json.dumps(document).encode()),))


class ScopeLock:
    """The locks of all zones of a scope, taken in one order by everybody, so that no two runs hold one each."""

    def __init__(self, backend: Backend, zones: Sequence[str], scope: str, holder: Holder, ttl_s: float) -> None:
        self.zones: dict[str, ZoneLock] = {}
        try:
            for zone in sorted(zones):
                self.zones[zone] = ZoneLock(backend, zone, scope, holder, ttl_s)
        except MlabError:
            for lock in self.zones.values():
                _error_of(lock.release)
            raise

    def renew(self) -> None:
        """Extend all of them."""
        for lock in self.zones.values():
            lock.renew()

    def release(self) -> None:
        """Give all of them back; the first failure is raised when the others are done."""
        errors = [error for lock in self.zones.values() if (error := _error_of(lock.release)) is not None]
        if errors:
            raise errors[0]


def unlock(backend: Backend, zones: Sequence[str], scope: str, identity: str) -> None:
    """Remove the locks of exactly that holder; none at all is fine."""
    for zone in sorted(zones):
        key = lock_key(scope, zone)
        found = backend.get(zone, key)
        held = _read(found)
        if held is not None and held["identity"] != identity:
            raise Refused(f"{scope} is locked by {held['identity']}, not by {identity}")
        if found is not None:
            backend.swap(zone, [Swap(key, found, None)])


def _error_of(call: Callable[[], None]) -> MlabError | None:
    try:
        call()
    except MlabError as error:
        return error
    return None


def _nonce(found: RecordSet | None) -> str:
    held = _read(found)
    return "" if held is None else str(held["nonce"])


def _read(found: RecordSet | None) -> Mapping[str, Any] | None:
    """The lock as written, or None if there is none. One that nobody of us could have written counts as none."""
    if found is None:
        return None
    try:
        document = json.loads(records.content(found.values[0]))
        held = {field: document[field] for field in _FIELDS}
        held["expires"], held["n"] = float(held["expires"]), int(held["n"])
    except (ValueError, KeyError, TypeError):
        return None
    return held


def _taken(scope: str, held: Mapping[str, Any]) -> str:
    return taken(scope, Holder(held["identity"], held["actor"], held["run_url"], held["started"]))
