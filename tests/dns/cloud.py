"""Stands for Google Cloud DNS: its JSON API as `changes` and `resourceRecordSets` are specified, and its name servers.

A change is checked whole before any of it is done. What it deletes must equal what is live, time to live and all
values; what it adds must not be there, or be deleted by the same change; an alias stands alone; the zone's own SOA and
NS stay; quotas hold. An accepted change is in the API's lists at once, is `pending` for a while, and reaches the name
server when it is `done`; changes of a zone are done in order. Refusals carry the API's statuses and reasons.
"""

from __future__ import annotations

import json
import re
import socketserver
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rrset

from tests.serving import served

TYPES = frozenset({"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"})
QUOTA = {
    "rrsetAdditionsPerChange": 1000,
    "rrsetDeletionsPerChange": 1000,
    "totalRrdataSizePerChange": 100_000,
    "resourceRecordsPerRrset": 100,
}
_PATH = re.compile(r"/dns/v1/projects/[^/]+(?:/managedZones(?:/([^/]+)(?:/(rrsets|changes)(?:/([^/]+))?)?)?)?")

Key = tuple[str, str]
Value = tuple[int, tuple[str, ...]]


class Refusal(Exception):
    """An error answer."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason

    def body(self) -> Any:
        error = {"domain": "global", "reason": self.reason, "message": str(self)}
        return {"error": {"code": self.code, "message": str(self), "errors": [error]}}


@dataclass
class Zone:
    """One managed zone. `served` is what its name server answers by."""

    name: str
    domain: str
    live: dict[Key, Value]
    served: dict[Key, Value]
    changes: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[tuple[float, dict[str, Any], dict[Key, Value]]] = field(default_factory=list)

    def settle(self) -> None:
        """Let the changes whose time has come be done, in order."""
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, change, contents = self.waiting.pop(0)
            change["status"] = "done"
            self.served = contents


class CloudDns:
    """The state of a project; `delay_s` is how long a change is pending."""

    def __init__(self, *domains: str, delay_s: float = 0.02) -> None:
        self.guard = threading.RLock()
        self.quota = dict(QUOTA)
        self.delay_s = delay_s
        self.zones: dict[str, Zone] = {}
        self.port = 0
        for domain in domains:
            self.empty(domain)

    def empty(self, domain: str) -> None:
        """A new zone with what every zone has."""
        with self.guard:
            own: dict[Key, Value] = {
                (f"{domain}.", "SOA"): (21600, (f"ns.{domain}. host.{domain}. 1 21600 3600 259200 300",)),
                (f"{domain}.", "NS"): (21600, ("ns-cloud-a1.dns-servers.test.",)),
            }
            name = domain.replace(".", "-")
            self.zones[name] = Zone(name, domain, dict(own), dict(own))

    def put(self, domain: str, name: str, kind: str, *values: str, ttl_s: int = 300) -> None:
        """Another client's change."""
        with self.guard:
            zone = self.zones[domain.replace(".", "-")]
            live = zone.live.get((f"{name}.", kind))
            change: dict[str, Any] = {"additions": [], "deletions": []}
            if live is not None:
                change["deletions"] = [_as_json((f"{name}.", kind), live)]
            if values:
                change["additions"] = [_as_json((f"{name}.", kind), (ttl_s, values))]
            self.change(zone, change)

    def call(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        """One request of the API. Raises `Refusal`."""
        found = re.fullmatch(
            r"/dns/v1/projects/[^/]+(?:/managedZones(?:/([^/]+)(?:/(rrsets|changes)(?:/([^/]+))?)?)?)?", path
        )
        if found is None:
            raise Refusal(404, "notFound", f"no such method: {path}")
        zone_name, part, number = found.groups()
        with self.guard:
            for zone in self.zones.values():
                zone.settle()
            if "managedZones" not in path:
                return {"kind": "dns#project", "quota": {"kind": "dns#quota", **self.quota}}
            if zone_name is None:
                zones = [self._zone(z) for z in self.zones.values() if _matches(z, query)]
                return {"kind": "dns#managedZonesListResponse", **({"managedZones": zones} if zones else {})}
            if zone_name not in self.zones:
                text = f"The 'parameters.managedZone' resource named '{zone_name}' does not exist."
                raise Refusal(404, "notFound", text)
            zone = self.zones[zone_name]
            if part == "rrsets":
                return _page(zone, query)
            if part == "changes" and method == "POST":
                return self.change(zone, body)
            if part == "changes" and number is not None and int(number) < len(zone.changes):
                return zone.changes[int(number)]
            raise Refusal(404, "notFound", f"The 'parameters.changeId' resource named '{number}' does not exist.")

    def change(self, zone: Zone, body: Any) -> dict[str, Any]:
        """All of it or nothing."""
        additions = [_value(item, zone, f"entity.change.additions[{i}]") for i, item in enumerate(body["additions"])]
        deletions = [_value(item, zone, f"entity.change.deletions[{i}]") for i, item in enumerate(body["deletions"])]
        if not additions and not deletions:
            raise Refusal(400, "required", "The 'entity.change' parameter is required but was missing.")
        self._within_quota(additions, deletions)
        contents = dict(zone.live)
        for i, (key, value) in enumerate(deletions):
            if key not in contents:
                text = f"The 'entity.change.deletions[{i}]' resource named '{key[0]} ({key[1]})' does not exist."
                raise Refusal(404, "notFound", text)
            if (contents[key][0], sorted(contents[key][1])) != (value[0], sorted(value[1])):
                raise Refusal(412, "conditionNotMet", f"Precondition not met for 'entity.change.deletions[{i}]'")
            del contents[key]
        for i, (key, value) in enumerate(additions):
            if key in contents:
                text = f"The resource 'entity.change.additions[{i}]' named '{key[0]} ({key[1]})' already exists"
                raise Refusal(409, "alreadyExists", text)
            contents[key] = value
        _consistent(zone, contents)
        _count_serial(zone, contents)
        zone.live = contents
        change = {"kind": "dns#change", "id": str(len(zone.changes)), "status": "pending", **body}
        zone.changes.append(change)
        zone.waiting.append((time.monotonic() + self.delay_s, change, contents))
        return change

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        """What the zone's name server says."""
        question = query.question[0]
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        made = dns.message.make_response(query)
        with self.guard:
            inside = [z for z in self.zones.values() if f".{name}".endswith(f".{z.domain}.")]
            if not inside:
                made.set_rcode(dns.rcode.REFUSED)
                return made
            zone = max(inside, key=lambda z: len(z.domain))
            zone.settle()
            served = zone.served
        made.flags |= dns.flags.AA
        if (name, kind) in served:
            ttl_s, values = served[name, kind]
            made.answer.append(dns.rrset.from_text(name, ttl_s, "IN", kind, *values))
        elif not any(key[0] == name for key in served):
            made.set_rcode(dns.rcode.NXDOMAIN)
        return made

    def _within_quota(self, additions: list[tuple[Key, Value]], deletions: list[tuple[Key, Value]]) -> None:
        size = sum(len(text) for _, value in (*additions, *deletions) for text in value[1])
        used = {
            "rrsetAdditionsPerChange": len(additions),
            "rrsetDeletionsPerChange": len(deletions),
            "totalRrdataSizePerChange": size,
            "resourceRecordsPerRrset": max((len(value[1]) for _, value in additions), default=0),
        }
        for name, number in used.items():
            if number > self.quota[name]:
                raise Refusal(403, "quotaExceeded", f"Quota exceeded: {name} {number} of {self.quota[name]}")

    def _zone(self, zone: Zone) -> dict[str, Any]:
        servers = ["ns-cloud-a1.dns-servers.test."]
        return {"name": zone.name, "dnsName": f"{zone.domain}.", "visibility": "public", "nameServers": servers}


def _matches(zone: Zone, query: Mapping[str, str]) -> bool:
    return query.get("dnsName", f"{zone.domain}.") == f"{zone.domain}."


def _page(zone: Zone, query: Mapping[str, str]) -> Any:
    keys = sorted(
        key for key in zone.live if query.get("name", key[0]).lower() == key[0] and query.get("type", key[1]) == key[1]
    )
    start, size = int(query.get("pageToken", "0")), min(int(query.get("maxResults", "100")), 1000)
    answer: dict[str, Any] = {"kind": "dns#resourceRecordSetsListResponse"}
    if keys:
        answer["rrsets"] = [_as_json(key, zone.live[key]) for key in keys[start : start + size]]
    if start + size < len(keys):
        answer["nextPageToken"] = str(start + size)
    return answer


def _as_json(key: Key, value: Value) -> dict[str, Any]:
    return {"name": key[0], "type": key[1], "ttl": value[0], "rrdatas": list(value[1])}


def _value(item: Any, zone: Zone, where: str) -> tuple[Key, Value]:
    name, kind = str(item["name"]).lower(), str(item["type"])
    if kind not in TYPES or not f".{name}".endswith(f".{zone.domain}."):
        raise Refusal(400, "invalid", f"Invalid value for '{where}.name': '{name}'")
    try:
        dns.name.from_text(name)
        for text in item["rrdatas"]:
            dns.rdata.from_text(dns.rdataclass.IN, kind, text, relativize=False)
    except dns.exception.DNSException:
        raise Refusal(400, "invalid", f"Invalid value for '{where}.rrdata': '{item['rrdatas']}'") from None
    if not item["rrdatas"]:
        raise Refusal(400, "required", f"The '{where}.rrdata' parameter is required but was missing.")
    return (name, kind), (int(item["ttl"]), tuple(item["rrdatas"]))


def _consistent(zone: Zone, contents: Mapping[Key, Value]) -> None:
    for kind in ("SOA", "NS"):
        if (f"{zone.domain}.", kind) not in contents:
            raise Refusal(400, "containerNotEmpty", f"The zone's own {kind} record set cannot be deleted.")
    kinds: dict[str, set[str]] = {}
    for name, kind in contents:
        kinds.setdefault(name, set()).add(kind)
    for name, found in kinds.items():
        if "CNAME" in found and len(found) > 1:
            text = f"The resource record set '{name}' is invalid because a CNAME may not be with others."
            raise Refusal(400, "cnameResourceRecordSetConflict", text)


def _count_serial(zone: Zone, contents: dict[Key, Value]) -> None:
    key = (f"{zone.domain}.", "SOA")
    ttl_s, (text,) = contents[key]
    parts = text.split()
    parts[2] = str(int(parts[2]) + 1)
    contents[key] = (ttl_s, (" ".join(parts),))


@dataclass(frozen=True)
class Running:
    """The stand-in, listening: the API at `url`, the name server at `server`."""

    cloud: CloudDns
    url: str
    server: tuple[str, int]


@contextmanager
def running(*domains: str) -> Iterator[Running]:
    """Start both servers on loopback."""
    cloud = CloudDns(*domains)

    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            try:
                code, answer = 200, cloud.call(self.command, unquote(parts.path), query, body)
            except Refusal as refusal:
                code, answer = refusal.code, refusal.body()
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    class Names(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(2):
                query = dns.message.from_wire(self.rfile.read(struct.unpack("!H", head)[0]))
                wire = cloud.answer(query).to_wire()
                self.wfile.write(struct.pack("!H", len(wire)) + wire)

    api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    names = _NameServer(("127.0.0.1", 0), Names)
    with served(api), served(names):
        yield Running(cloud, f"http://127.0.0.1:{api.server_port}", ("127.0.0.1", int(names.server_address[1])))


class _NameServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
