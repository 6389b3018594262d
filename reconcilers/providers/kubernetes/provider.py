"""The Kubernetes target: server-side apply by one field manager, members marked as an ApplySet.

How live objects are compared is in `kubernetes_live`, marks are in `kubernetes_marks`. A field of ours that somebody
else changed is taken back: by force, but only over exactly the object that was looked at, and only where the value in
git, or an earlier one, had been applied by us. A field that was never ours is a `Conflict` that names its managers,
unless git takes that very field over (`ownership.take_over`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from reconcilers.core.errors import Conflict, Temporary
from reconcilers.core.model import Action, Change, Health, HealthState, Id, Json, Observed, Resource, Risk
from reconcilers.core.provider import Capabilities, Context, Holder
from reconcilers.providers.kubernetes import fields, lease, marks, rules
from reconcilers.providers.kubernetes import health as health_rules
from reconcilers.providers.kubernetes.client import JSON_PATCH, LIMITS, Answer, Client
from reconcilers.providers.kubernetes.live import CLIENT_SIDE, MUST_BE_NEW, THREADS, Live, secretive, terminating
from reconcilers.providers.time_limits import Limits

GONE_S = 60.0
TRIES = 5
"""How often a write is repeated because a status writer moved the object's version in between."""


class Kubernetes:
    """One cluster in one environment. `kubeconfig` None means the account of the pod that we run in."""

    def __init__(
        self, scope: str, kubeconfig: Path | None, context: str | None = None, limits: Limits = LIMITS
    ) -> None:
        self.scope = scope
        self.capabilities = Capabilities(max_concurrency=THREADS, rate_per_s=200.0, can_health=True)
        self._client = Client(kubeconfig, context, limits)
        self._live = Live(self._client, scope)

    def prepare(self, resources: Sequence[Resource]) -> None:
        """Learn what git wants, so that `observe` can tell a default from a difference."""
        self._live.wanted = {resource.id: resource for resource in resources}
        self._live.renamed = {r.moved_from: r for r in resources if r.moved_from is not None}

    def observe(self, wanted: Collection[Id]) -> Iterable[Observed]:
        """Members of the set by label, and whatever else bears a wanted name; `token` is the object's uid."""
        return self._live.all(wanted)

    def normalise(self, resource: Resource) -> Json:
        """The manifest without nulls, with the label of the set."""
        return marks.desired(resource, self.scope)

    def assess(self, change: Change) -> Change:
        """Immutable fields make a replacement; for the rest see `rules`."""
        if change.observed is None or change.action is Action.DELETE:
            return rules.assess(change)
        finding = self._live.finding(change.id)
        if finding.terminating:
            return replace(change, blocked="the live object is being deleted: wait until it is gone", impossible=True)
        if finding.immutable and change.action is Action.UPDATE:
            return replace(change, action=Action.REPLACE, risk=Risk.DESTRUCTIVE, reason=finding.immutable)
        if finding.invalid:
            return replace(change, blocked=finding.invalid, impossible=True)
        if finding.held and change.action is Action.UPDATE:
            return replace(change, blocked=finding.held, impossible=True)
        return rules.assess(change)

    def apply(self, changes: Sequence[Change], context: Context) -> None:
        """Write changes one after the other."""
        for change in changes:
            steps: dict[str, Callable[[], None]] = {}
            if change.action is Action.DELETE:
                steps["delete"] = partial(self._delete, change)
            elif change.action is Action.FORGET:
                steps["forget"] = partial(self._forget, change)
            else:
                if change.action is Action.REPLACE:
                    steps["remove"] = partial(self._delete, change, wait=True)
                steps["apply"] = partial(self._apply, change, context)
            for verb, write in steps.items():
                context.still_held()
                context.fault(f"{self.scope} {verb} {change.id}: before")
                write()
                context.fault(f"{self.scope} {verb} {change.id}: after")

    def health(self, identity: Id) -> Health:
        """By kstatus; see `kubernetes_health`."""
        if identity.kind.partition(".")[0] in health_rules.AT_ONCE:
            return health_rules.CURRENT
        live = self._live.get(identity)
        if live is None:
            return Health(HealthState.UNKNOWN, "it is not there")
        return health_rules.judge(live, self._live.finding(identity).unavailable)

    def lock(self, holder: Holder, ttl_s: float) -> lease.Lease:
        """A Lease in kube-system, named after the scope."""
        return lease.Lease(self._client, self.scope, holder, ttl_s).take()

    def unlock(self, identity: str) -> None:
        """Remove the Lease of exactly that holder."""
        lease.unlock(self._client, self.scope, identity)

    def begin(self, wanted: Collection[Id], fault: Callable[[str], None]) -> None:
        """Let the set's parent name every kind and namespace that may hold members while we write."""
        self._write_parent(wanted, exact=False, fault=fault)

    def finish(self, wanted: Collection[Id], complete: bool, fault: Callable[[str], None]) -> None:
        """After a complete run the parent names what git wants and nothing else."""
        if complete:
            self._write_parent(wanted, exact=True, fault=fault)

    def close(self) -> None:
        """Give back connections."""
        self._client.close()

    def _apply(self, change: Change, context: Context) -> None:
        assert change.desired is not None
        body = marks.marked(self.normalise(change.desired), context.mark(change))
        if change.observed is None or change.action is Action.REPLACE:
            self._create(change.desired, body)
        elif change.action is Action.ADOPT:
            self._take(change, body)
        else:
            answer = self._live.patch(body, uid=change.observed.token or "")
            if answer.is_field_conflict():
                self._take(change, body)
            else:
                _require(answer, change.desired)

    def _create(self, resource: Resource, body: Json) -> None:
        answer = self._live.patch(body, version=MUST_BE_NEW)
        if answer.status == 409:
            live = self._live.get(resource.id)
            owner = marks.owner(live) if live and not terminating(live) else None
            ours = owner is not None and owner.scope == self.scope
            if live and ours and self._live.in_place(self.normalise(resource), live):
                return  # an earlier try of ours, whose answer was lost
            raise Conflict(f"{resource.id}: it appeared since it was observed")
        _require(answer, resource)

    def _take(self, change: Change, body: Json) -> None:
        """Apply with force, over exactly the object that was looked at when the change was planned."""
        assert change.desired is not None
        for _ in range(TRIES):
            live = self._unmoved(change)
            if live is None:
                raise Conflict(f"{change.id}: it disappeared since it was observed")
            held = self._live.finding(change.id).held
            if held and change.action is not Action.ADOPT:
                raise Conflict(f"{change.id}: {held}")
            if change.action is Action.ADOPT:
                live = self._migrated(live)
            answer = self._live.patch(body, force=True, version=live["metadata"]["resourceVersion"])
            if answer.status != 409:
                _require(answer, change.desired)
                return
        raise Conflict(f"{change.id}: it keeps changing while it is being written")

    def _unmoved(self, change: Change) -> dict[str, Any] | None:
        """The live object, if it is in our fields what the change was planned for; None if it is gone."""
        assert change.observed is not None
        live = self._live.get(change.id)
        if live is None or terminating(live):
            return live
        if live["metadata"]["uid"] != change.observed.token or self._live.observed(live).spec != change.observed.spec:
            raise Conflict(f"{change.id}: it changed since it was observed")
        return live

    def _migrated(self, live: dict[str, Any]) -> dict[str, Any]:
        """Make ours what client-side `kubectl apply` owned: fields that git leaves out would stay forever."""
        entries = live["metadata"].get("managedFields") or []
        old = [e for e in entries if e.get("manager") == CLIENT_SIDE and not e.get("subresource")]
        if not old or fields.owned(live):
            return live
        ours = {**old[0], "manager": fields.MANAGER, "operation": "Apply"}
        return self._rewrite(live, [ours if e is old[0] else e for e in entries], {})

    def _forget(self, change: Change) -> None:
        """Leave the object as it is, without our marks and without our ownership of its fields."""
        live = self._unmoved(change)
        if live is None:
            return
        entries = [e for e in live["metadata"].get("managedFields") or [] if e.get("manager") != fields.MANAGER]
        notes = {k: v for k, v in marks.notes_of(live).items() if not k.startswith(marks.PREFIX)}
        labels = {k: v for k, v in (live["metadata"].get("labels") or {}).items() if k != marks.PART_OF}
        self._rewrite(live, entries or [{}], {"annotations": notes, "labels": labels})

    def _rewrite(self, live: Json, entries: Sequence[Json], more: Json) -> dict[str, Any]:
        steps: list[Any] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
            *({"op": "replace", "path": f"/metadata/{key}", "value": value} for key, value in more.items()),
            {"op": "replace", "path": "/metadata/managedFields", "value": list(entries)},
        ]
        identity = marks.identity(live)
        answer = self._client.request("PATCH", self._live.path(identity), body=steps, content_type=JSON_PATCH)
        if answer.status == 422:
            raise Conflict(f"{identity}: it changed since it was observed")
        if not answer.ok:
            raise answer.error(str(identity))
        return dict(answer.body)

    def _delete(self, change: Change, *, wait: bool = False) -> None:
        """Delete exactly the object that was planned; status writers may move its version meanwhile."""
        for _ in range(TRIES):
            live = self._unmoved(change)
            if live is None:
                return
            if not terminating(live):
                meta = live["metadata"]
                conditions = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
                body = {"preconditions": conditions, "propagationPolicy": "Background"}
                answer = self._client.request("DELETE", self._live.path(change.id), body=body)
                if answer.status == 409:
                    continue
                if not answer.ok and answer.status != 404:
                    raise answer.error(str(change.id))
            if wait:
                self._wait_until_gone(change.id)
            return
        raise Conflict(f"{change.id}: it keeps changing while it is being deleted")

    def _wait_until_gone(self, identity: Id) -> None:
        deadline = time.monotonic() + GONE_S
        pause_s = 0.02
        while (live := self._live.get(identity)) is not None:
            if time.monotonic() > deadline:
                raise Temporary(f"{identity}: not gone after {GONE_S:.0f} s: {health_rules.judge(live).message}")
            time.sleep(pause_s)
            pause_s = min(1.0, pause_s * 2)

    def _write_parent(self, members: Collection[Id], *, exact: bool, fault: Callable[[str], None]) -> None:
        former = self._live.parent()
        body = marks.parent(self.scope, members, former, exact=exact)
        if marks.same_parent(former, body):
            return
        fault(f"{self.scope} parent: before")
        version = former["metadata"]["resourceVersion"] if former else MUST_BE_NEW
        answer = self._live.patch(body, force=True, version=version)
        if not answer.ok:
            raise answer.error(f"{self.scope}: the set's parent")
        fault(f"{self.scope} parent: after")


def _require(answer: Answer, resource: Resource) -> None:
    """Raise unless it was written. A uid that does not fit means that the object was replaced by another one."""
    if answer.ok:
        return
    if answer.status == 422 and any(cause.get("field") == "metadata.uid" for cause in answer.causes()):
        raise Conflict(f"{resource.id}: it was replaced by another object since it was observed")
    raise answer.error(str(resource.id), secret=secretive(resource))
