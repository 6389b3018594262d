"""The lock of a buckets scope: an object in the records bucket, held by generation precondition until it expires.

The first run of an environment finds no records bucket: it is made here, with a label that says it is only begun, and
is planned as a creation until the plan has given it everything else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from reconcilers.core.errors import Conflict, Refused
from reconcilers.core.provider import Holder
from reconcilers.providers.buckets_api import Absent, Api, bucket_path, object_path

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
            self._generation = self._write(self._generation)
        except (Conflict, Absent) as error:
            raise Refused(f"the lock of {self._scope} was taken over") from error

    def release(self) -> None:
        """Give it back, if it is still ours."""
        try:
            path = object_path(self._bucket, self._name)
            self._api.call("DELETE", path, {"ifGenerationMatch": self._generation})
        except (Conflict, Absent):
            pass

    def _take(self) -> int:
        held, generation = read(self._api, self._bucket, self._name)
        if held is not None and held["expires"] > time.time() and held["identity"] != self._holder.identity:
            raise Refused(
                f"locked by {held['identity']} ({held['actor']}, {held['run_url']}) since {held['started']}; wait, or "
                f"`mlab unlock {self._scope} --holder {held['identity']}` if it died"
            )
        try:
            return self._write(generation)
        except Absent:
            _begin_bucket(self._api, self._bucket)
            return self._write(0)
        except Conflict as error:
            raise Refused(f"the lock of {self._scope} was taken by another run this moment; try again") from error

    def _write(self, generation: int) -> int:
        document = {
            "identity": self._holder.identity,
            "actor": self._holder.actor,
            "run_url": self._holder.run_url,
            "started": self._holder.started,
            "expires": time.time() + self._ttl_s,
        }
        resource = {"name": self._name, "contentType": "application/json", "cacheControl": "no-store"}
        query = {"ifGenerationMatch": generation}
        return int(self._api.upload(self._bucket, resource, json.dumps(document).encode(), query).generation)


def unlock(api: Api, bucket: str, scope: str, identity: str) -> None:
    """Remove the lock of exactly that holder; none at all is fine."""
    held, generation = read(api, bucket, lock_name(scope))
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


def read(api: Api, bucket: str, name: str) -> tuple[Mapping[str, Any] | None, int]:
    """A small JSON object and its generation; (None, 0) if it is absent."""
    try:
        found = api.call("GET", object_path(bucket, name))
        document: Mapping[str, Any] = json.loads(api.download(bucket, name))
    except Absent:
        return None, 0
    return document, int(found["generation"])


def _begin_bucket(api: Api, bucket: str) -> None:
    body = {"name": bucket, "labels": {BEGUN: "true"}}
    try:
        api.call("POST", "/b", {"project": api.project}, body)
    except Conflict:
        api.call("GET", bucket_path(bucket))  # another run was quicker; if it is not ours to see, this says so
