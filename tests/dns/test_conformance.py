"""The DNS provider against a real `named`, a directory of zone files and Cloud DNS, by the suite of all providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core.model import Id, Resource, Span
from reconcilers.core.provider import Provider
from reconcilers.providers.dns import records
from reconcilers.providers.dns.cloud import CloudDns
from reconcilers.providers.dns.provider import Dns
from reconcilers.providers.dns.records import Backend, Limits
from reconcilers.providers.dns.zonefile import ZoneFiles
from services.local import nameserver
from tests.conformance import suite
from tests.dns import cloud, servers
from tests.dns.servers import PARENT, ZONE
from tests.faultproxy import closed_port

SCOPE = "sandbox/dns"


def record(kind: str, name: str, *values: str, zone: str = ZONE, ttl: int = 300, file: str = "sites/a") -> Resource:
    spec = {"ttl": ttl, "rrdatas": list(values)}
    return Resource(Id(kind, f"{zone}/{name}"), spec, Span(f"config/{file}.yaml", 9))


FIRST = (
    record("A", "mlab1-a", "192.0.2.1"),
    record("AAAA", "mlab1-a", "2001:DB8::01"),
    record("A", "gone-a", "192.0.2.3"),
    record("CNAME", "was-alias", "Target.Measurement-Lab.test.", file="zones/p"),
)
SECOND = (
    record("A", "mlab1-a", "192.0.2.9", "192.0.2.1"),
    record("AAAA", "mlab1-a", "2001:db8::1", ttl=600),
    record("A", "was-alias", "192.0.2.4", file="zones/p"),
    record("TXT", "new", '"one" "two; three"', file="sites/b"),
    record("A", "switch", "192.0.2.5", zone=PARENT, file="zones/primary"),
)


FEW = (FIRST[:3], (*SECOND[:2], SECOND[3]))
"""Fewer, so that a run of few transactions still has two points for each."""


class OneByOne:
    """A backend that takes one record set a transaction: every write is a point where a run may end."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def limits(self) -> Limits:
        return Limits(3, 3, 10**6)


class DnsHarness:
    """A scope of two zones, one below the other, over any backend."""

    first: Sequence[Resource] = FIRST
    second: Sequence[Resource] = SECOND
    lock_ttl_s = 0.3

    zones: Sequence[str] = (PARENT, ZONE)

    def __init__(self, connect: Callable[..., Backend], *, one_by_one: bool) -> None:
        self._connect = connect
        self._one_by_one = one_by_one

    def provider(self) -> Provider:
        return self._over(self._connect())

    def _over(self, backend: Backend) -> Provider:
        return Dns(SCOPE, self.zones, OneByOne(backend) if self._one_by_one else backend)

    def contents(self, zone: str) -> Any:
        return dict(self._connect().read(zone))

    def state(self) -> Any:
        return {zone: servers.owned(self.contents(zone), zone) for zone in self.zones}

    def put(self, name: str, kind: str, *values: str) -> None:
        raise NotImplementedError

    def put_unmarked(self, resource: Resource) -> None:
        _, (name, kind) = records.place(resource.id)
        self.put(name.removesuffix(f".{ZONE}"), kind, "192.0.2.77")

    def put_foreign(self) -> Id:
        self.put("somebody-elses", "A", "192.0.2.200")
        return Id("A", f"{ZONE}/somebody-elses")

    def foreign_state(self) -> Any:
        return self.contents(ZONE)[f"somebody-elses.{ZONE}", "A"]

    def drift(self) -> Id:
        self.put("mlab1-a", "A", "192.0.2.66")
        return Id("A", f"{ZONE}/mlab1-a")


class NamedHarness(DnsHarness):
    def __init__(self, server: servers.NameServer, *, one_by_one: bool) -> None:
        super().__init__(server.backend, one_by_one=one_by_one)
        self._server = server

    def reset(self) -> None:
        self._server.empty()

    def put(self, name: str, kind: str, *values: str) -> None:
        self._server.put(name, kind, *values)

    def unreachable(self) -> Provider:
        return self._over(self._server.backend(server=f"127.0.0.1:{closed_port()}"))


class TestNamed(suite.Conformance):
    """One transaction a record set."""

    @pytest.fixture
    def harness(self, server: servers.NameServer) -> Iterator[NamedHarness]:
        yield NamedHarness(server, one_by_one=True)


class TestNamedWholeFiles(suite.Conformance):
    """As in production: what one file wants is one transaction."""

    @pytest.fixture
    def harness(self, server: servers.NameServer) -> Iterator[NamedHarness]:
        harness = NamedHarness(server, one_by_one=False)
        harness.first, harness.second = FEW
        yield harness


class ZoneFileHarness(DnsHarness):
    zones = (ZONE,)
    first, second = FEW

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        super().__init__(self._files, one_by_one=False)
        self.reset()

    def _files(self, directory: Path | None = None) -> Backend:
        return ZoneFiles(directory or self._directory, "named-checkzone", ())

    def reset(self) -> None:
        for zone in self.zones:
            (self._directory / f"{zone}.zone").write_text(nameserver.empty_zone(zone))

    def put(self, name: str, kind: str, *values: str) -> None:
        files = self._files()
        key = (f"{name}.{ZONE}", kind)
        files.swap(ZONE, [records.Swap(key, files.get(ZONE, key), records.RecordSet(300, values))])

    def unreachable(self) -> Provider:
        return self._over(self._files(self._directory / "nowhere"))


class TestZoneFiles(suite.Conformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[ZoneFileHarness]:
        yield ZoneFileHarness(tmp_path)


class CloudHarness(DnsHarness):
    def __init__(self, cloud: cloud.Running) -> None:
        self._cloud = cloud
        super().__init__(self._api, one_by_one=True)
        self.reset()

    def _api(self, url: str | None = None) -> Backend:
        where = {"endpoint": url or self._cloud.url, "anonymous": True}
        return CloudDns("mlab-sandbox", where, (self._cloud.server,))

    def reset(self) -> None:
        for zone in self.zones:
            self._cloud.cloud.empty(zone)

    def put(self, name: str, kind: str, *values: str) -> None:
        self._cloud.cloud.put(ZONE, f"{name}.{ZONE}", kind, *values)

    def unreachable(self) -> Provider:
        return self._over(self._api(f"http://127.0.0.1:{closed_port()}"))


class TestCloudDns(suite.Conformance):
    @pytest.fixture
    def harness(self, google: cloud.Running) -> Iterator[CloudHarness]:
        yield CloudHarness(google)
