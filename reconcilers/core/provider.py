"""What a target must offer: all that a new reconciler writes.

Diff, sorting, limits, acknowledgements, adoption, order, retries, locks' use, audit and printing are core's.
An implementation raises `Temporary`, `Permanent` or `Conflict` only; anything else is a bug and reported so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from reconcilers.core.model import Change, Health, Id, Json, Observed, Owner, Resource


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do. `atomic_batch`: one level's changes are written as one set or not at all."""

    max_concurrency: int = 4
    rate_per_s: float = 50.0
    can_list: bool = True
    atomic_batch: bool = False
    can_health: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What a write needs to know besides its change."""

    mark: Callable[[Change], Owner]
    """The owner mark to put on the live object."""
    fault: Callable[[str], None]
    """Call before and after each write with a stable name; tests end the process there."""
    still_held: Callable[[], None]
    """Raises `Refused` when the scope's lock is lost: nothing may be written after that."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: `identity` is unique to the run."""

    identity: str
    actor: str
    run_url: str
    started: str


def taken(scope: str, by: Holder) -> str:
    """What a refusal says of a held lock: who has it, in which run, since when, and the way out."""
    run = f", {by.run_url}" if by.run_url else ""
    way_out = f"wait, or `mlab unlock {scope} --holder {by.identity}` if that run is dead"
    return f"locked by {by.identity} ({by.actor}{run}) since {by.started}; {way_out}"


class Lock(Protocol):
    """A lock with an expiry, kept in the scope's own target."""

    def renew(self) -> None:
        """Extend the expiry. Raises `Refused` if another holder has it, `Temporary` if the target is out of reach."""

    def release(self) -> None:
        """Give it back; releasing a lost lock succeeds."""


class Provider(Protocol):
    """One target in one environment, for example `staging/epoxy`."""

    scope: str
    capabilities: Capabilities

    def observe(self, wanted: Collection[Id]) -> Iterable[Observed]:
        """List everything we own, plus anything (ours or not) that already bears a wanted id.

        Marks are read, not judged: `Observed.owner` is whatever owner record the live object carries, or None.
        """

    def normalise(self, resource: Resource) -> Json:
        """The desired spec in the form that `observe` will return once it is applied. Pure."""

    def assess(self, change: Change) -> Change:
        """Raise the risk, turn an update into a replacement, or block the impossible. Pure."""

    def apply(self, changes: Sequence[Change], context: Context) -> None:
        """Write one change, or one atomic batch. Idempotent; `observed.token` is the precondition.

        Creating what is there in the same form and deleting what is absent succeed.
        """

    def health(self, identity: Id) -> Health:
        """Asked after a write if `capabilities.can_health`."""

    def lock(self, holder: Holder, ttl_s: float) -> Lock:
        """Take the scope's lock or raise `Refused` naming holder, run and start; an expired one is taken over."""

    def unlock(self, identity: str) -> None:
        """Remove the lock of exactly that holder; raises `Refused` if another one has it."""

    def close(self) -> None:
        """Give back connections."""


@runtime_checkable
class Prepared(Protocol):
    """A provider that must know the whole desired state before it observes (to ask the target for its defaults)."""

    def prepare(self, resources: Sequence[Resource]) -> None:
        """Called before each `observe` of a plan. No I/O."""


@runtime_checkable
class Staged(Protocol):
    """A provider that keeps a record of its whole set at the target, around the writes of a run."""

    def begin(self, wanted: Collection[Id], fault: Callable[[str], None]) -> None:
        """Called under the lock, before the first write."""

    def finish(self, wanted: Collection[Id], complete: bool, fault: Callable[[str], None]) -> None:
        """Called after the last write; `complete` if everything, deletions too, came about."""


@runtime_checkable
class Batched(Protocol):
    """A provider that writes sets of changes, each wholly or not at all, and knows which belong together."""

    def batches(self, changes: Sequence[Change], deletions: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """All `changes` of one level in sets, each the argument of one `apply`.

        A set may take in permitted `deletions` without which its changes cannot come about (an alias that gives way
        to an address); all others come later, as `changes` of their own. No I/O.
        """
