"""A target in memory: the smallest honest provider, an example for the next one and a double for the core's tests.

The server part keeps versions and refuses a write whose precondition is stale, as the real targets do.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from reconcilers.core.errors import Conflict, Refused
from reconcilers.core.model import Action, Change, Health, HealthState, Id, Json, Observed, Owner, Resource, Risk
from reconcilers.core.provider import Capabilities, Context, Holder, taken


@dataclass(slots=True)
class Live:
    """One live object: its owned fields, its mark and the version that a precondition names."""

    spec: dict[str, Any]
    owner: Owner | None
    version: int
    protect: bool = False


@dataclass(slots=True)
class Server:
    """The state that outlives a provider. `before_write` lets a test fail or interleave a write."""

    objects: dict[Id, Live] = field(default_factory=dict)
    locks: dict[str, tuple[Holder, float]] = field(default_factory=dict)
    versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    mutex: threading.RLock = field(default_factory=threading.RLock)
    before_write: Callable[[Change], None] = lambda change: None


class MemoryProvider:
    """One scope of a `Server`."""

    capabilities = Capabilities(max_concurrency=4, rate_per_s=100_000)

    def __init__(self, scope: str, server: Server) -> None:
        self.scope = scope
        self._server = server

    def observe(self, wanted: Collection[Id]) -> Iterable[Observed]:
        """All objects: the memory has no others."""
        with self._server.mutex:
            return [
                Observed(identity, deepcopy(live.spec), live.owner, live.protect, str(live.version))
                for identity, live in self._server.objects.items()
            ]

    def normalise(self, resource: Resource) -> Json:
        """What is stored is what is wanted."""
        return resource.spec

    def assess(self, change: Change) -> Change:
        """Deletions are destructive already; nothing else is risky here."""
        assert change.action is not Action.DELETE or change.risk is Risk.DESTRUCTIVE
        return change

    def apply(self, changes: Sequence[Change], context: Context) -> None:
        """Write one change under its precondition."""
        for change in changes:
            context.fault(f"memory.write {change.id}")
            self._server.before_write(change)
            with self._server.mutex:
                self._write(change, context.mark(change))
            context.fault(f"memory.written {change.id}")

    def _write(self, change: Change, mark: Owner) -> None:
        live = self._server.objects.get(change.id)
        expected = change.observed.token if change.observed is not None else None
        if change.action is Action.DELETE:
            if live is None:
                return
            if str(live.version) != expected:
                raise Conflict(f"{change.id}: it is at version {live.version}, not {expected}")
            del self._server.objects[change.id]
            return
        if change.action is Action.FORGET:
            if live is not None and live.owner is not None:
                if str(live.version) != expected:
                    raise Conflict(f"{change.id}: it is at version {live.version}, not {expected}")
                self._server.objects[change.id] = Live(live.spec, None, next(self._server.versions))
            return
        assert change.desired is not None
        spec = deepcopy(dict(change.desired.spec))
        if live is not None and live.spec == spec and live.owner == mark:
            return
        if (str(live.version) if live is not None else None) != expected:
            raise Conflict(f"{change.id}: it is at version {live.version if live else None}, not {expected}")
        self._server.objects[change.id] = Live(spec, mark, next(self._server.versions))

    def health(self, identity: Id) -> Health:
        """What is stored works."""
        return Health(HealthState.CURRENT)

    def lock(self, holder: Holder, ttl_s: float) -> MemoryLock:
        """One holder a scope."""
        with self._server.mutex:
            held = self._server.locks.get(self.scope)
            if held is not None and held[1] > time.monotonic() and held[0].identity != holder.identity:
                raise Refused(taken(self.scope, held[0]))
            self._server.locks[self.scope] = (holder, time.monotonic() + ttl_s)
        return MemoryLock(self._server, self.scope, holder, ttl_s)

    def unlock(self, identity: str) -> None:
        """Remove exactly that holder's lock."""
        with self._server.mutex:
            held = self._server.locks.get(self.scope)
            if held is not None and held[0].identity != identity:
                raise Refused(f"{self.scope} is locked by {held[0].identity}, not by {identity}")
            self._server.locks.pop(self.scope, None)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class MemoryLock:
    """A held lock."""

    server: Server
    scope: str
    holder: Holder
    ttl_s: float

    def renew(self) -> None:
        """Extend it, if it is still ours."""
        with self.server.mutex:
            held = self.server.locks.get(self.scope)
            if held is None or held[0].identity != self.holder.identity:
                raise Refused(f"the lock of {self.scope} was taken over")
            self.server.locks[self.scope] = (self.holder, time.monotonic() + self.ttl_s)

    def release(self) -> None:
        """Give it back."""
        with self.server.mutex:
            held = self.server.locks.get(self.scope)
            if held is not None and held[0].identity == self.holder.identity:
                del self.server.locks[self.scope]
