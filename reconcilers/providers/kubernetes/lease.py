"""The scope's lock: a Lease (coordination.k8s.io/v1) that one writer holds and renews.

Every write carries the resourceVersion that was read, so two takers cannot both win. Expiry is judged by the API
server's clock alone, out of the `Date` of its answers: a machine with a wrong clock neither steals nor keeps a lock.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from reconcilers.core.errors import Conflict, Permanent, Refused, Temporary
from reconcilers.core.provider import Holder, taken
from reconcilers.providers.kubernetes.client import Answer, Api, Client
from reconcilers.providers.kubernetes.marks import HOME, PREFIX, parent_name

LEASES = Api("coordination.k8s.io", "v1", "Lease", "leases", True)
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
_TRIES = 5


class Lease:
    """A held lock; see `take`."""

    def __init__(self, client: Client, scope: str, holder: Holder, ttl_s: float) -> None:
        self._client, self._scope, self._holder, self._ttl_s = client, scope, holder, ttl_s
        self._lock = threading.Lock()

    def renew(self) -> None:
        """Extend the expiry to a whole time to live from now."""
        with self._lock:
            for _ in range(_TRIES):
                read = _read(self._client, self._scope)
                held = _holder(read)
                if held != self._holder.identity:
                    raise Refused(f"{self._scope}: the lock is now held by {held or 'nobody'}; run apply again")
                if _write(self._client, self._scope, read, self._body(read)):
                    return
        raise Conflict(f"{self._scope}: the lock's Lease keeps changing under our hands")

    def release(self) -> None:
        """Remove the Lease if it is still ours; one that cannot be removed is left without a holder."""
        with self._lock:
            try:
                remove(self._client, self._scope, self._holder.identity)
            except (Temporary, Permanent):
                self._give_up()

    def _give_up(self) -> None:
        for _ in range(_TRIES):
            read = _read(self._client, self._scope)
            if _holder(read) != self._holder.identity:
                return
            free = {"holderIdentity": "", "leaseDurationSeconds": 1}  # as other holders of Leases leave them
            body = self._body(read)
            if _write(self._client, self._scope, read, {**body, "spec": {**body["spec"], **free}}):
                return

    def take(self) -> Lease:
        """Create the Lease, or take over an expired one. Raises `Refused` naming who holds it."""
        for _ in range(_TRIES):
            read = _read(self._client, self._scope)
            if read.ok and not _expired(read) and _holder(read) != self._holder.identity:
                raise Refused(_held(self._scope, read.body))
            if _write(self._client, self._scope, read, self._body(read)):
                return self
        raise Refused(f"{self._scope}: other writers are taking the lock at this moment; try again")

    def _body(self, read: Answer) -> dict[str, Any]:
        now = read.server_time()
        spec = dict(read.body.get("spec") or {}) if read.ok else {}
        mine = spec.get("holderIdentity") == self._holder.identity
        meta: dict[str, Any] = {
            "name": parent_name(self._scope),
            "namespace": HOME,
            "annotations": {
                PREFIX + "actor": self._holder.actor,
                PREFIX + "run": self._holder.run_url,
                PREFIX + "started": self._holder.started,
            },
        }
        if read.ok:
            meta["resourceVersion"] = read.body["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": meta,
            "spec": {
                "holderIdentity": self._holder.identity,
                "leaseDurationSeconds": max(1, math.ceil(self._ttl_s)),
                "acquireTime": spec["acquireTime"] if mine else now.strftime(_FORMAT),
                "renewTime": now.strftime(_FORMAT),
                "leaseTransitions": spec.get("leaseTransitions", 0) + (1 if read.ok and not mine else 0),
            },
        }


def remove(client: Client, scope: str, identity: str) -> bool:
    """Remove the Lease of exactly that holder; False if another one, or none, has it."""
    for _ in range(_TRIES):
        read = _read(client, scope)
        if _holder(read) != identity:
            return False
        meta = read.body["metadata"]
        answer = client.request(
            "DELETE",
            LEASES.path(HOME, parent_name(scope)),
            body={"preconditions": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}},
        )
        if answer.ok or answer.status == 404:
            return True
        if answer.status != 409:
            raise answer.error(f"{scope}: removing the lock")
    raise Conflict(f"{scope}: the lock's Lease keeps changing under our hands")


def unlock(client: Client, scope: str, identity: str) -> None:
    """Remove the lock of that holder by hand; `Refused` if another one has it."""
    if not remove(client, scope, identity):
        read = _read(client, scope)
        if read.ok:
            raise Refused(_held(scope, read.body))


def _read(client: Client, scope: str) -> Answer:
    answer = client.request("GET", LEASES.path(HOME, parent_name(scope)))
    if not answer.ok and not answer.absent:
        raise answer.error(f"{scope}: reading the lock")
    return answer


def _write(client: Client, scope: str, read: Answer, body: Mapping[str, Any]) -> bool:
    method = "PUT" if read.ok else "POST"
    name = parent_name(scope) if read.ok else ""
    answer = client.request(method, LEASES.path(HOME, name), body=body, query={"fieldManager": "mlab-lock"})
    if answer.ok:
        return True
    if answer.status in (404, 409):
        return False
    raise answer.error(f"{scope}: taking the lock")


def _holder(read: Answer) -> str:
    return str((read.body.get("spec") or {}).get("holderIdentity") or "") if read.ok else ""


def _expired(read: Answer) -> bool:
    spec = read.body.get("spec") or {}
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return True
    renewed = datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
    return read.server_time() > renewed + timedelta(seconds=spec.get("leaseDurationSeconds", 0))


def _held(scope: str, lease: Mapping[str, Any]) -> str:
    notes = lease["metadata"].get("annotations") or {}
    known = (notes.get(PREFIX + word, default) for word, default in (("actor", "?"), ("run", ""), ("started", "?")))
    return taken(scope, Holder(str(lease["spec"].get("holderIdentity")), *known))
