"""Google Cloud DNS through its own client (`google-cloud-dns`): one change of the API is one transaction.

A change is atomic, what it deletes must equal what is live, value and time to live, and what it adds must not be
there: so the API checks the condition of every swap by itself. How much one change may hold is the project's quota,
asked for and not assumed. An accepted change is `pending` until all of the zone's servers answer by it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from reconcilers.core.errors import MlabError, Permanent, Temporary
from reconcilers.providers import google_api, time_limits
from reconcilers.providers.dns.records import Contents, Key, Limits, RecordSet, Swap

SERVICE = google_api.Service("Cloud DNS", "targets.dns.endpoint", "dns")
LIMITS = time_limits.Limits(connect_s=5.0, read_s=20.0, total_s=60.0)
PAGE = 1_000
_QUOTAS = ("rrsetAdditionsPerChange", "rrsetDeletionsPerChange", "totalRrdataSizePerChange")
_DNS_PORT = 53


class CloudDns:
    """The managed zones of a project; implements `dns_records.Backend`."""

    def __init__(
        self,
        project: str,
        where: Mapping[str, Any],
        ask: Sequence[tuple[str, int]],
        bounds: time_limits.Limits = LIMITS,
    ) -> None:
        self._project = project
        self._where = where
        self._ask = tuple(ask)
        self._bounds = bounds
        self._client: Any = None
        self._zones: dict[str, Mapping[str, Any]] = {}
        self._limits: Limits | None = None
        self._pending: dict[str, list[str]] = {}

    def read(self, zone: str) -> Contents:
        """All pages of the list; the quotas with the first one."""
        if self._limits is None:
            quota = self._call("GET", "")["quota"]
            self._limits = Limits(*(int(quota[name]) for name in _QUOTAS))
        return dict(self._sets(zone, {}))

    def get(self, zone: str, key: Key) -> RecordSet | None:
        """One record set by name and type."""
        return dict(self._sets(zone, {"name": f"{key[0]}.", "type": key[1]})).get(key)

    def swap(self, zone: str, swaps: Sequence[Swap]) -> None:
        """One change; a mere condition cannot be put into it, and is left to the lock that every change swaps."""
        changed = [swap for swap in swaps if swap.before != swap.after]
        body = {
            "deletions": [_as_json(swap.key, swap.before) for swap in changed if swap.before is not None],
            "additions": [_as_json(swap.key, swap.after) for swap in changed if swap.after is not None],
        }
        answer = self._call("POST", f"{self._path(zone)}/changes", body=body)
        if answer["status"] != "done":
            self._pending.setdefault(zone, []).append(str(answer["id"]))

    def limits(self) -> Limits:
        """The project's quotas."""
        assert self._limits is not None, "asked before a read"
        return self._limits

    def pending(self, zone: str) -> str:
        """Ask for the changes that were not done yet, in order; changes of a zone are done one after the other."""
        waiting = self._pending.get(zone, [])
        while waiting:
            try:
                found = self._call("GET", f"{self._path(zone)}/changes/{waiting[0]}")
            except MlabError as error:
                return str(error)
            if found["status"] != "done":
                return f"change {waiting[0]} of {zone} is {found['status']}, and {len(waiting) - 1} after it"
            waiting.pop(0)
        return ""

    def servers(self, zone: str) -> Sequence[tuple[str, int]]:
        """The configured ones, or all that the API names for the zone."""
        if self._ask:
            return self._ask
        names = [str(name).rstrip(".") for name in self._zone(zone)["nameServers"]]
        found = []
        for name in names:
            try:
                info = socket.getaddrinfo(name, _DNS_PORT, type=socket.SOCK_STREAM, family=socket.AF_INET)
            except OSError as error:
                raise Temporary(f"address of the name server {name}: {error.strerror}") from None
            found.append((str(info[0][4][0]), _DNS_PORT))
        return found

    def close(self) -> None:
        """Give back connections."""
        if self._client is not None:
            self._client._http.close()

    def _sets(self, zone: str, query: Mapping[str, str]) -> list[tuple[Key, RecordSet]]:
        found = []
        token: str | None = None
        while True:
            given = {**query, "maxResults": PAGE, **({"pageToken": token} if token else {})}
            answer = self._call("GET", f"{self._path(zone)}/rrsets", query=given)
            for item in answer.get("rrsets", ()):
                key = (str(item["name"]).rstrip(".").lower(), str(item["type"]))
                found.append((key, RecordSet(int(item["ttl"]), tuple(item.get("rrdatas", ())))))
            token = answer.get("nextPageToken")
            if not token:
                return found

    def _path(self, zone: str) -> str:
        return f"/managedZones/{self._zone(zone)['name']}"

    def _zone(self, zone: str) -> Mapping[str, Any]:
        if zone not in self._zones:
            answer = self._call("GET", "/managedZones", query={"dnsName": f"{zone}."})
            public = [item for item in answer.get("managedZones", ()) if item.get("visibility", "public") == "public"]
            if len(public) != 1:
                raise Permanent(
                    f"project {self._project} has {len(public) or 'no'} public managed zone{'s' * (len(public) > 1)} "
                    f"for {zone}; exactly one is needed"
                )
            self._zones[zone] = public[0]
        return self._zones[zone]

    def _call(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        what = f"{method} /projects/{self._project}{path}"
        try:
            found = self._connected()._connection.api_request(
                method=method,
                path=f"/projects/{self._project}{path}",
                query_params=dict(query or {}),
                data=body,
                timeout=(self._bounds.connect_s, self._bounds.read_s),
            )
        except Exception as error:
            raise google_api.ours(error, what, self._bounds, SERVICE) from error
        # A page of some gateway must not pass for an empty zone.
        if not isinstance(found, dict) or found.get("kind") != _kind(path):
            raise Temporary(f"{what}: the answer is none of Cloud DNS; does it listen at {SERVICE.setting}?")
        return found

    def _connected(self) -> Any:
        if self._client is None:
            from google.cloud import dns

            self._client = google_api.client(dns.Client, self._project, self._where, self._bounds, SERVICE)
        return self._client


def _kind(path: str) -> str:
    """What the API says that its answer is; empty lists it leaves out."""
    if "/changes" in path:
        return "dns#change"
    lists = {"managedZones": "dns#managedZonesListResponse", "rrsets": "dns#resourceRecordSetsListResponse"}
    return lists.get(path.rpartition("/")[2], "dns#project")


def _as_json(key: Key, found: RecordSet) -> dict[str, Any]:
    return {"name": f"{key[0]}.", "type": key[1], "ttl": found.ttl_s, "rrdatas": list(found.values)}
