"""Host records at ePoxy, through its administration API.

Owned are the administrator's fields, the protection and the mark. What the server writes (UpdateEnabled, sessions,
boot times) is read for the reviewer's eye and never sent. Each write carries the etag that the plan saw; the etag
covers owned fields only, so a boot in between does not stop an apply. The scope's lock is a row of the same API.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote

from reconcilers.core.errors import Conflict, Permanent, Refused, Temporary
from reconcilers.core.model import (
    Action,
    Change,
    Health,
    HealthState,
    Id,
    Json,
    Observed,
    Owner,
    Resource,
)
from reconcilers.core.provider import Capabilities, Context, Holder
from reconcilers.providers.epoxy import rules
from reconcilers.providers.json_api import Answer, JsonApi
from reconcilers.providers.time_limits import Limits

LIMITS = Limits()
KIND = "Host"
PAGE = 1000
SHORTEST_TTL_S = 0.1
"""The least that the server takes as a lock's time to live."""
SPEC_FIELDS = ("Name", "IPv4Addr", "Boot", "Update", "ImagesVersion", "Extensions", "Retired", "Protect")
NEVER = "0001-01-01T00:00:00Z"


class Epoxy:
    """A `core.provider.Provider`: `url` ends in `/admin`, `token` is a secret reference."""

    capabilities = Capabilities(max_concurrency=6, rate_per_s=400.0)

    def __init__(
        self,
        scope: str,
        url: str,
        token: Mapping[str, Any] | str,
        *,
        ca_file: str | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.scope = scope
        self._api = JsonApi(
            url,
            token,
            ca_file=ca_file,
            limits=limits,
            connections=self.capabilities.max_concurrency + 2,
            provider="epoxy",
        )

    def observe(self, wanted: Collection[Id]) -> Iterator[Observed]:
        """Hosts that bear this scope's mark or a wanted name; a whole environment is one page."""
        ids = set(wanted)
        after = ""
        while True:
            answer = self._api.call("GET", "/v1/hosts", query={"limit": str(PAGE), "after": after})
            hosts, following = _page(answer)
            for host in hosts:
                found = _observed(host)
                if found.id in ids or (found.owner is not None and found.owner.scope == self.scope):
                    yield found
            if following is None:
                return
            if following <= after:
                raise Temporary(f"{self.scope}: the list of hosts does not advance beyond {following!r}")
            after = following

    def normalise(self, resource: Resource) -> Json:
        """All owned fields in the server's form; the protection is one, so that a plan shows its change."""
        spec = dict(resource.spec)
        return {
            "Name": spec["Name"],
            "IPv4Addr": str(spec["IPv4Addr"]),
            "Boot": dict(spec["Boot"]),
            "Update": dict(spec["Update"]),
            "ImagesVersion": str(spec["ImagesVersion"]),
            "Extensions": list(spec["Extensions"]),
            "Retired": bool(spec.get("Retired", False)),
            "Protect": resource.protect,
        }

    def assess(self, change: Change) -> Change:
        """See `rules`."""
        return rules.assess(change)

    def apply(self, changes: Sequence[Change], context: Context) -> None:
        """One record at a time, each with its own precondition."""
        for change in changes:
            verb = change.action.value
            context.still_held()
            context.fault(f"epoxy.{verb}.before")
            if change.action is Action.DELETE:
                self._delete(change)
            else:
                self._put(change, context)
            context.fault(f"epoxy.{verb}.after")

    def health(self, identity: Id) -> Health:
        """A record works as soon as it is there; whether the machine boots is monitoring's question."""
        answer = self._api.call("GET", _path(identity.name), expected=(404,))
        if answer.status == 404:
            return Health(HealthState.FAILED, answer.error_message)
        return Health(HealthState.CURRENT, _observed(answer.body).note)

    def lock(self, holder: Holder, ttl_s: float) -> RowLock:
        """Take the scope's row, by the server's clock."""
        body = {
            "identity": holder.identity,
            "actor": holder.actor,
            "run_url": holder.run_url,
            "started": holder.started,
            "ttl_s": ttl_s,
        }
        answer = self._api.call("PUT", _lock_path(self.scope), body=body, expected=(409,))
        if answer.status == 409:
            way_out = f"wait, or `mlab unlock {self.scope} --holder ID` if that run is dead"
            raise Refused(f"{answer.error_message}; {way_out}")
        return RowLock(self._api, self.scope, holder.identity, ttl_s)

    def unlock(self, identity: str) -> None:
        """Remove the row of exactly that holder; where there is none, nothing is left to do."""
        answer = self._api.call("DELETE", _lock_path(self.scope), query={"identity": identity}, expected=(404, 409))
        if answer.status == 409:
            raise Refused(f"{answer.error_message}; {identity} does not hold it, so nothing was removed")

    def close(self) -> None:
        self._api.close()

    def _put(self, change: Change, context: Context) -> None:
        body = self._wanted(change, context)
        if change.observed is None:
            precondition = {"If-None-Match": "*"}
        else:
            precondition = {"If-Match": str(change.observed.token)}
        answer = self._api.call("PUT", _path(change.id.name), body=body, headers=precondition, expected=(412,))
        # A lost answer, then a second try: the precondition fails although the first try did all there was to do.
        if answer.status == 412 and not self._is_written(change.id, body):
            raise Conflict(f"{self.scope}/{change.id}: {answer.error_message}")

    def _wanted(self, change: Change, context: Context) -> dict[str, Any]:
        if change.action is Action.FORGET and change.observed is not None:
            return {**change.observed.spec, "Owner": None}
        if change.desired is None:
            raise Permanent(f"{self.scope}/{change.id}: {change.action.value} without a desired record")
        owner = context.mark(change)
        mark = {
            "owner": owner.owner,
            "env": owner.env,
            "scope": owner.scope,
            "source": owner.source,
            "commit": owner.commit,
        }
        return {**self.normalise(change.desired), "Owner": mark}

    def _is_written(self, identity: Id, body: Mapping[str, Any]) -> bool:
        answer = self._api.call("GET", _path(identity.name), expected=(404,))
        if answer.status == 404:
            return False
        live = _observed(answer.body)
        mark = body["Owner"]
        owner = None if mark is None else (mark["owner"], mark["env"], mark["scope"])
        found = None if live.owner is None else (live.owner.owner, live.owner.env, live.owner.scope)
        return found == owner and all(live.spec[key] == body[key] for key in SPEC_FIELDS)

    def _delete(self, change: Change) -> None:
        token = "" if change.observed is None else str(change.observed.token)
        answer = self._api.call("DELETE", _path(change.id.name), headers={"If-Match": token}, expected=(404, 409, 412))
        if answer.error_code == "host.protected":
            raise Permanent(f"{self.scope}/{change.id}: {answer.error_message}")
        if answer.status in (409, 412):
            raise Conflict(f"{self.scope}/{change.id}: {answer.error_message}")
        if answer.status == 404 and answer.error_code != "host.absent":
            raise Permanent(f"{self.scope}/{change.id}: {answer.error_message}; check the target's url")


class RowLock:
    """A held row; the server extends or removes it for its holder only."""

    def __init__(self, api: JsonApi, scope: str, identity: str, ttl_s: float) -> None:
        self._api, self._scope, self._identity, self._ttl_s = api, scope, identity, ttl_s

    def renew(self) -> None:
        """Raises `Refused` where another holder has it, or had it in between."""
        self._extend(self._ttl_s)

    def _extend(self, ttl_s: float) -> None:
        body = {"identity": self._identity, "ttl_s": ttl_s}
        answer = self._api.call("PATCH", _lock_path(self._scope), body=body, expected=(404, 409))
        if answer.status in (404, 409):
            raise Refused(f"{self._scope}: the lock of {self._identity} was lost: {answer.error_message}")

    def release(self) -> None:
        """Remove the row if it is still ours; one that cannot be removed is left to expire at once."""
        query = {"identity": self._identity}
        try:
            self._api.call("DELETE", _lock_path(self._scope), query=query, expected=(404, 409))
        except (Temporary, Permanent):
            with suppress(Refused):
                self._extend(SHORTEST_TTL_S)


def _page(answer: Answer) -> tuple[list[Any], str | None]:
    body = answer.body
    known = isinstance(body, dict) and isinstance(body.get("hosts"), list) and "next" in body
    if not known or not isinstance(body["next"], str | None):
        raise Temporary("GET /v1/hosts: the answer is JSON but no list of hosts; is this ePoxy's administration API?")
    return body["hosts"], body["next"]


def _observed(host: Any) -> Observed:
    try:
        desired, seen, mark = host["desired"], host["observed"], host["desired"]["Owner"]
        return Observed(
            id=Id(KIND, desired["Name"]),
            spec={key: desired[key] for key in SPEC_FIELDS},
            owner=None if mark is None else Owner(**mark),
            protect=desired["Protect"],
            token=host["etag"],
            note=_note(seen["LastSessionCreation"], seen["LastSuccess"]) + _ordered(seen),
        )
    except (KeyError, TypeError, ValueError):
        raise Temporary(
            "the answer holds a host record that cannot be read; is this ePoxy's administration API?"
        ) from None


def _note(last_boot: str, last_success: str) -> str:
    if last_boot == NEVER:
        return "never booted"
    return f"last boot {last_boot}, " + ("no success yet" if last_success == NEVER else f"last success {last_success}")


def _ordered(seen: Mapping[str, Any]) -> str:
    """What an administrator ordered for the next boot, and whether a machine was told it already."""
    order = seen.get("NextBoot")
    if order is None:
        return "; the update flag is set" if seen.get("UpdateEnabled") else ""
    told = datetime.fromisoformat(seen["LastSessionCreation"]) >= datetime.fromisoformat(order["set"])
    state = "told in stage1, pending until stage2" if told else "not told yet"
    version = f" at {order['version']}" if order["version"] else ""
    return f"; next boot ordered: {order['sequence']}{version}, {state}, until {order['expires']}"


def _path(name: str) -> str:
    return f"/v1/hosts/{quote(name, safe='')}"


def _lock_path(scope: str) -> str:
    return f"/v1/locks/{quote(scope)}"
