"""The provider of `<environment>/dns`: record sets of the zones that the environment's project serves.

A plan compares the lists of ours (`dns_marks`) and what git wants with the whole zone, read in one go. A write is a
transaction: record sets are swapped for their next state on the condition that each is what was observed, together
with the lists that name them and the lock (`dns_lock`). What no list names is never touched. After the writes, the
zone's servers are asked for all that changed, and for a sample of what did not.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from reconcilers.core import plan as planning
from reconcilers.core.errors import Conflict, Permanent, Temporary
from reconcilers.core.model import Action, Change, Health, HealthState, Id, Json, Observed, Resource
from reconcilers.core.provider import Capabilities, Context, Holder, Lock
from reconcilers.providers.dns import batches as batching
from reconcilers.providers.dns import lock as locks
from reconcilers.providers.dns import marks, records, rules
from reconcilers.providers.dns.answers import Answers
from reconcilers.providers.dns.records import Backend, Key, RecordSet, Swap

SAMPLE = 50
"""How many unchanged record sets of a zone are asked for after an apply."""
ANSWERS_S = 60.0
"""How long a zone's servers may take to forget what was deleted."""
ALIAS = "CNAME"
_NEVER = frozenset({"NS", "SOA"})


class Dns:
    """One scope over one backend; `zones` are domains without the dot at the end."""

    def __init__(self, scope: str, zones: Sequence[str], backend: Backend, *, rate_per_s: float = 500.0) -> None:
        self.scope = scope
        self.capabilities = Capabilities(max_concurrency=1, rate_per_s=rate_per_s, can_health=True)
        self._zones = tuple(zones)
        self._backend = backend
        self._answers = Answers(backend)
        self._live: dict[str, marks.Live] = {}
        self._wanted: frozenset[Id] = frozenset()
        self._lock: locks.ScopeLock | None = None

    def prepare(self, resources: Sequence[Resource]) -> None:
        """Remember what is wanted: an alias that is not may give way to an address."""
        self._wanted = frozenset(resource.id for resource in resources)

    def observe(self, wanted: Collection[Id]) -> Iterator[Observed]:
        """What our lists name, and what bears a wanted name."""
        by_zone: dict[str, dict[Key, Id]] = {zone: {} for zone in self._zones}
        for identity in wanted:
            zone, key = self._place(identity)
            by_zone[zone][key] = identity
        for zone in self._zones:
            self._live[zone] = marks.live(zone, self._backend.read(zone))
            yield from self._observed(self._live[zone], by_zone[zone])

    def _observed(self, live: marks.Live, wanted: Mapping[Key, Id]) -> Iterator[Observed]:
        for key in live.listed.keys() | wanted.keys():
            found, owner = live.contents.get(key), live.owner(key)
            if found is not None:
                identity = wanted.get(key) or records.identify(live.zone, key)
                protect = live.protected(key)
                yield Observed(identity, _spec(key[1], found, protect=protect), owner, protect=protect)
            elif key not in wanted and planning.ours(owner, self.scope):
                note = "it is gone; what is left is that our list names it"
                yield Observed(records.identify(live.zone, key), {"ttl": 0, "rrdatas": []}, owner, note=note)

    def normalise(self, resource: Resource) -> Json:
        """Values in their one form, and the mark of protection as the field that it is in the list."""
        return _spec(resource.id.kind, records.of_spec(resource.spec), protect=resource.protect)

    def assess(self, change: Change) -> Change:
        """Block what no server would take; what the others mean is in `rules`."""
        blocked = self._impossible(change)
        if blocked:
            return replace(change, blocked=blocked, impossible=True)
        return rules.assess(change)

    def _impossible(self, change: Change) -> str:
        if change.desired is None:
            return ""
        zone, key = self._place(change.id)
        if key[0] == zone and key[1] in _NEVER:
            return f"the {key[1]} record set of the zone itself is made by whoever serves it"
        if marks.reserved(key[0], zone, locks.LABEL):
            return "the name is one that this program keeps its own records under"
        live = self._live.get(zone)
        if live is None:
            return ""
        others = (ALIAS,) if key[1] != ALIAS else tuple(live.types.get(key[0], set()) - {ALIAS})
        for kind in others:
            other = (key[0], kind)
            ours = planning.ours(live.owner(other), self.scope)
            if other in live.contents and not (ours and records.identify(zone, other) not in self._wanted):
                return f"a {kind} record that stays is at this name, and an alias stands alone (RFC 1034, 3.6.2)"
        return ""

    def batches(self, changes: Sequence[Change], deletions: Sequence[Change]) -> Sequence[Sequence[Change]]:
        """What one file wants of one zone goes into one transaction, as many files as fit."""
        return batching.batches(changes, deletions, self._live, self._backend.limits())

    def apply(self, changes: Sequence[Change], context: Context) -> None:
        """One transaction."""
        if not changes:
            return
        zone = self._place(changes[0].id)[0]
        context.fault(f"dns.before {zone}")
        context.still_held()
        try:
            self._write(zone, changes, context)
        except Conflict:
            if not self._came_about(zone, changes):
                raise
        context.fault(f"dns.after {zone}")

    def _write(self, zone: str, changes: Sequence[Change], context: Context) -> None:
        live = self._live[zone]
        swaps: list[Swap] = []
        added: dict[Key, marks.Mark] = {}
        removed: list[Key] = []
        for change in changes:
            key = self._place(change.id)[1]
            before = live.contents.get(key)
            _require_observed(change, before)
            after = before if change.action is Action.FORGET else _after(change)
            if before is not None and after is not None and records.same(key[1], before, after):
                after = before
            if (before, after) != (None, None):
                swaps.append(Swap(key, before, after))
            if change.action in (Action.DELETE, Action.FORGET):
                removed.append(key)
            else:
                assert change.desired is not None
                added[key] = marks.Mark(context.mark(change), change.desired.protect)
        swaps += marks.swaps(live, self.scope, added, removed)
        if not swaps:
            return
        if self._lock is None:
            raise Permanent(f"{self.scope}: written without its lock")
        self._lock.zones[zone].swap(swaps)
        live.swapped(swaps)
        self._expect(live, swaps)

    def _expect(self, live: marks.Live, swaps: Sequence[Swap]) -> None:
        for swap in swaps:
            if (swap.after is None or swap.before != swap.after) and not live.occluded(swap.key[0]):
                self._answers.expect(live.zone, swap.key, swap.after, gone=swap.before)

    def _came_about(self, zone: str, changes: Sequence[Change]) -> bool:
        """Whether all of it is as wanted by now: the answer to an earlier try may have been lost."""
        live = self._live[zone] = marks.live(zone, self._backend.read(zone))
        for change in changes:
            key = self._place(change.id)[1]
            ours = planning.ours(live.owner(key), self.scope)
            if change.action is Action.FORGET:
                if ours:
                    return False
                continue
            wanted = _after(change)
            if ours == (wanted is None) or not records.same(key[1], live.contents.get(key), wanted):
                return False
            if change.desired is not None and change.desired.protect != live.protected(key):
                return False
            self._answers.expect(zone, key, wanted)
        return True

    def health(self, identity: Id) -> Health:
        """Whether every server of the zone answers by what was written."""
        why = self._answers.missing(*self._place(identity))
        return Health(HealthState.IN_PROGRESS, why) if why else Health(HealthState.CURRENT)

    def begin(self, wanted: Collection[Id], fault: Callable[[str], None]) -> None:
        """The lists are written with what they list: nothing to do before."""

    def finish(self, wanted: Collection[Id], complete: bool, fault: Callable[[str], None]) -> None:
        """Wait until nobody answers with what was deleted, then ask for a sample of what was left as it is."""
        if not complete:
            return
        deadline = time.monotonic() + ANSWERS_S
        while missing := self._answers.ask_open():
            if time.monotonic() > deadline:
                (zone, _), why = next(iter(missing.items()))
                raise Temporary(f"{zone}: {len(missing)} answers are not as written after {ANSWERS_S:.0f} s: {why}")
            time.sleep(0.1)
        differing = []
        for zone, sample in self._sample(wanted).items():
            differing += self._answers.compare(zone, sample)
        if differing:
            raise Temporary(f"{len(differing)} of the unchanged records are not answered as they are: {differing[0]}")

    def _sample(self, wanted: Collection[Id]) -> dict[str, dict[Key, RecordSet]]:
        chosen: dict[str, dict[Key, RecordSet]] = defaultdict(dict)
        for identity in random.sample(list(wanted), min(SAMPLE, len(wanted))):
            zone, key = self._place(identity)
            live = self._live[zone]
            if key in live.contents and planning.ours(live.owner(key), self.scope) and not live.occluded(key[0]):
                chosen[zone][key] = live.contents[key]
        return chosen

    def lock(self, holder: Holder, ttl_s: float) -> Lock:
        """A record in each zone; from then on every write is conditional on it."""
        self._lock = locks.ScopeLock(self._backend, self._zones, self.scope, holder, ttl_s)
        return self._lock

    def unlock(self, identity: str) -> None:
        """Remove the records of that holder."""
        locks.unlock(self._backend, self._zones, self.scope, identity)

    def close(self) -> None:
        """Close the backend's connections."""
        self._backend.close()

    def _place(self, identity: Id) -> tuple[str, Key]:
        """`A/ZONE/NAME` as zone and key. Raises `Permanent` for a zone that is not of this scope."""
        zone, key = records.place(identity)
        if zone not in self._zones:
            raise Permanent(f"{self.scope}: {identity} is in no zone of targets.dns.zones ({', '.join(self._zones)})")
        return zone, key


def _after(change: Change) -> RecordSet | None:
    """What is there when the change came about."""
    if change.action is Action.DELETE or change.desired is None:
        return None
    return records.of_spec(records.spec(change.id.kind, records.of_spec(change.desired.spec)))


def _spec(kind: str, found: RecordSet, *, protect: bool) -> Json:
    spec = records.spec(kind, found)
    return {**spec, "protect": True} if protect else spec


def _require_observed(change: Change, before: RecordSet | None) -> None:
    """The zone as it was last read is what the change was planned on."""
    planned = change.observed.spec["rrdatas"] if change.observed is not None else []
    now = records.spec(change.id.kind, before)["rrdatas"] if before is not None else []
    if planned != now:
        raise Conflict(f"{change.id}: it changed since it was observed")
