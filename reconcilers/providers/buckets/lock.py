"""The lock of a buckets scope: an object in the records bucket, held by generation precondition until it expires.

The first run of an environment finds no records bucket: it is made here, with a label that says it is only begun, and
is planned as a creation until the plan has given it everything else.
"""

from __future__ import annotations

import json
import time
from typing import Any

from reconcilers.core.errors import Conflict, Permanent, Refused, Temporary
from reconcilers.core.provider import Holder, taken
from reconcilers.providers.buckets.api import Absent, Api, bucket_path, object_path

BEGUN = "mlab-begun"
"""Label of a records bucket that so far exists for the lock only."""


class ObjectLock:
    """A held lock. `now` is the holder's clock: holders' clocks are assumed to agree within a few seconds."""

    def __init__(self, api: Api, bucket: str, scope: str, holder: Holder, ttl_s: float) -> None:
        self._api, self._bucket, self._scope = api, bucket, scope
        self._name = lock_name(scope)
        self._holder, self._ttl_s = holder, ttl_s
        self._generation = self._take()

    def renew(self) -> None:
        """Extend the expiry, under the generation that we wrote."""
        try:
            self._generation = self._write(self._generation, self._ttl_s)
        except (Conflict, Absent) as error:
            if not self._refreshed():
                raise Refused(f"the lock of {self._scope} was taken over") from error
            self._generation = self._write(self._generation, self._ttl_s)

    def release(self) -> None:
        """Give it back, if it is still ours."""
        try:
            self._remove()
        except Conflict:
            if self._refreshed():
                self._remove()

    def _remove(self) -> None:
        query = {"ifGenerationMatch": self._generation}
        try:
            self._api.call("DELETE", object_path(self._bucket, self._name), query)
        except Absent:
            pass
        except (Temporary, Permanent):
            self._generation = self._write(self._generation, 0)  # a lock that cannot be removed is left expired

    def _refreshed(self) -> bool:
        """Whether the lock is ours after all: an earlier write came through whose answer did not."""
        held, generation = _read(self._api, self._bucket, self._name)
        if held is None or held["identity"] != self._holder.identity:
            return False
        self._generation = generation
        return True

    def _take(self) -> int:
        held, generation = _read(self._api, self._bucket, self._name)
        if held is not None and held["expires"] > time.time() and held["identity"] != self._holder.identity:
            by = Holder(held["identity"], held["actor"], held["run_url"], held["started"])
            raise Refused(taken(self._scope, by))
        try:
            return self._write(generation, self._ttl_s)
        except Absent:
            _begin_bucket(self._api, self._bucket)
            return self._write(0, self._ttl_s)
        except Conflict as error:
            raise Refused(f"the lock of {self._scope} was taken by another run this moment; try again") from error

    def _write(self, generation: int, ttl_s: float) -> int:
        document = {
            "identity": self._holder.identity,
            "actor": self._holder.actor,
            "run_url": self._holder.run_url,
            "started": self._holder.started,
            "expires": time.time() + ttl_s,
        }
        resource = {"name": self._name, "contentType": "application/json", "cacheControl": "no-store"}
        query = {"ifGenerationMatch": generation}
        return self._api.upload(self._bucket, resource, json.dumps(document).encode(), query)


def unlock(api: Api, bucket: str, scope: str, identity: str) -> None:
    """Remove the lock of exactly that holder; none at all is fine."""
    held, generation = _read(api, bucket, lock_name(scope))
    if held is None:
        return
    if held["identity"] != identity:
        raise Refused(f"{scope} is locked by {held['identity']}, not by {identity}")
    try:
        api.call("DELETE", object_path(bucket, lock_name(scope)), {"ifGenerationMatch": generation})
    except Absent:
        return


def lock_name(scope: str) -> str:
    """The lock's object."""
    return f"_mlab/lock/{scope.replace('/', '-')}.json"


def _read(api: Api, bucket: str, name: str) -> tuple[dict[str, Any] | None, int]:
    document, generation = api.document(bucket, name)
    wanted = {"identity": str, "actor": str, "run_url": str, "started": str, "expires": int | float}
    if document is not None and not all(isinstance(document.get(key), kind) for key, kind in wanted.items()):
        raise Refused(f"{bucket}/{name}: it is no lock of ours; remove it if no run is under way")
    return document, generation


def _begin_bucket(api: Api, bucket: str) -> None:
    body = {"name": bucket, "labels": {BEGUN: "true"}}
    try:
        api.call("POST", "/b", {"project": api.project}, body)
    except Conflict:
        api.call("GET", bucket_path(bucket))  # another run was quicker; if it is not ours to see, this says so
