from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from reconcilers.core.model import Id, Resource, Span
from reconcilers.core.provider import Provider
from reconcilers.providers.epoxy import provider as epoxy
from reconcilers.providers.time_limits import Limits
from tests import epoxy_service, faultproxy
from tests.conformance import suite

SCOPE = "sandbox/epoxy"
FOREIGN = "printer.office.measurement-lab.test"


def resource(number: int, *, deps: frozenset[Id] = frozenset(), **changes: Any) -> Resource:
    host = epoxy_service.name(number)
    body = epoxy_service.spec(host, IPv4Addr=f"198.18.5.{number}", **changes)
    return Resource(Id("Host", host), body, Span("config/sites/lga05.yaml", number), deps=deps)


class Harness:
    """The provider against a real service."""

    first: Sequence[Resource] = (
        resource(1),
        resource(2),
        resource(3, deps=frozenset({Id("Host", epoxy_service.name(1))})),
    )
    second: Sequence[Resource] = (resource(2, ImagesVersion="v2.2.0", Retired=True), resource(3), resource(4))
    lock_ttl_s = 0.2

    def __init__(self, service: epoxy_service.Service) -> None:
        self.service = service
        self.made: list[Provider] = []

    def provider(self) -> Provider:
        return self._at(self.service.url)

    def unreachable(self) -> Provider:
        return self._at(f"http://127.0.0.1:{faultproxy.closed_port()}")

    def reset(self) -> None:
        with sqlite3.connect(self.service.database, isolation_level=None) as db:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("DELETE FROM desired")
            db.execute("DELETE FROM lock")
        db.close()

    def state(self) -> Any:
        found = [host["desired"] for host in self._hosts() if host["desired"]["Owner"] is not None]
        return [{**host, "Owner": {**host["Owner"], "commit": ""}} for host in found]

    def put_unmarked(self, resource: Resource) -> None:
        self.service.create({**resource.spec, "Protect": False, "Owner": None, "IPv4Addr": "198.18.5.200"})

    def put_foreign(self) -> Id:
        self.service.create(epoxy_service.record(FOREIGN))
        return Id("Host", FOREIGN)

    def foreign_state(self) -> Any:
        return [host for host in self._hosts() if host["desired"]["Name"] == FOREIGN]

    def drift(self) -> Id:
        host = epoxy_service.name(2)
        path = f"/admin/v1/hosts/{host}"
        live = self.service.call("GET", path).json()
        body = {**live["desired"], "ImagesVersion": "by-hand"}
        assert self.service.call("PUT", path, json=body, headers={"If-Match": live["etag"]}).ok
        return Id("Host", host)

    def close(self) -> None:
        for provider in self.made:
            provider.close()

    def _at(self, url: str) -> Provider:
        token = {"secretRef": f"file:{self.service.admin_token_file}"}
        made = epoxy.Epoxy(SCOPE, f"{url}/admin", token, limits=Limits(read_s=30))
        self.made.append(made)
        return made

    def _hosts(self) -> list[Any]:
        found: list[Any] = self.service.call("GET", "/admin/v1/hosts").json()["hosts"]
        return found


class TestEpoxy(suite.Conformance):
    @pytest.fixture
    def harness(self, shared: epoxy_service.Service) -> Iterator[suite.Harness]:
        made = Harness(shared)
        made.reset()
        yield made
        made.close()
