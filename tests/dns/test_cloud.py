"""The provider and Cloud DNS: the API's own conditions, quotas, pending changes, and answers that are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from reconcilers.core.errors import Conflict, Permanent, Temporary
from reconcilers.core.model import Result
from reconcilers.providers.dns.cloud import CloudDns
from reconcilers.providers.dns.provider import Dns
from reconcilers.providers.dns.records import RecordSet, Swap
from reconcilers.providers.google_api import Absent
from tests import faultproxy
from tests.conformance import suite
from tests.dns import cloud, servers
from tests.dns.servers import PARENT, ZONE
from tests.dns.test_conformance import FIRST, SCOPE, record

KEY = (f"a.{ZONE}", "A")
ONE, TWO = RecordSet(300, ("192.0.2.1",)), RecordSet(300, ("192.0.2.2",))
TOO_FAST = b'{"error": {"code": 403, "message": "slow", "errors": [{"reason": "rateLimitExceeded"}]}}'


@pytest.fixture
def fresh(google: cloud.Running) -> Iterator[cloud.Running]:
    """Empty zones, all quotas, changes that are done soon."""
    google.cloud.empty(PARENT)
    google.cloud.empty(ZONE)
    yield google
    google.cloud.quota = dict(cloud.QUOTA)
    google.cloud.delay_s = 0.02


def backend(google: cloud.Running, url: str | None = None) -> CloudDns:
    return CloudDns("mlab-sandbox", {"endpoint": url or google.url, "anonymous": True}, (google.server,))


def provider(google: cloud.Running, url: str | None = None) -> Dns:
    return Dns(SCOPE, (PARENT, ZONE), backend(google, url))


@pytest.mark.parametrize(
    ("live", "swap", "why"),
    [
        (ONE, Swap(KEY, None, TWO), "already exists"),
        (ONE, Swap(KEY, TWO, None), "Precondition not met"),
        (ONE, Swap(KEY, RecordSet(301, ONE.values), TWO), "Precondition not met"),
        (ONE, Swap(KEY, RecordSet(300, (*ONE.values, "192.0.2.9")), TWO), "Precondition not met"),
    ],
)
def test_the_condition_of_a_swap_is_the_apis_own(fresh: cloud.Running, live: RecordSet, swap: Swap, why: str) -> None:
    client = backend(fresh)
    client.swap(ZONE, [Swap(KEY, None, live)])
    other = (f"other.{ZONE}", "A")
    with pytest.raises(Conflict, match=why):
        client.swap(ZONE, [Swap(other, None, ONE), swap])
    assert client.get(ZONE, KEY) == live and client.get(ZONE, other) is None


def test_deleting_what_is_not_there_is_absent(fresh: cloud.Running) -> None:
    with pytest.raises(Absent, match="does not exist"):
        backend(fresh).swap(ZONE, [Swap(KEY, ONE, None)])


def test_a_list_of_many_pages_is_read_whole(fresh: cloud.Running) -> None:
    client = backend(fresh)
    for start in (0, 900):
        swaps = [Swap((f"h{n}.{ZONE}", "A"), None, ONE) for n in range(start, start + 900)]
        client.swap(ZONE, swaps)
    assert len(client.read(ZONE)) == 1800 + 2


def test_a_projects_quota_divides_a_change(fresh: cloud.Running) -> None:
    fresh.cloud.quota = {**cloud.QUOTA, "rrsetAdditionsPerChange": 40, "rrsetDeletionsPerChange": 40}
    zone = [record("A", f"h{n}", "192.0.2.1", file="sites/a") for n in range(90)]
    result = suite.apply(provider(fresh), zone)
    assert not result.failed, result
    assert suite.summary(suite.plan(provider(fresh), zone)) == []
    sizes = [len(change["additions"]) for change in fresh.cloud.zones[ZONE.replace(".", "-")].changes]
    assert max(sizes) <= 40 and sum(size > 2 for size in sizes) >= 3


def test_a_change_above_the_quota_is_permanent(fresh: cloud.Running) -> None:
    fresh.cloud.quota = {**cloud.QUOTA, "totalRrdataSizePerChange": 10}
    with pytest.raises(Permanent, match="Quota exceeded: totalRrdataSizePerChange"):
        backend(fresh).swap(ZONE, [Swap(KEY, None, RecordSet(300, ("192.0.2.1", "192.0.2.2")))])


def test_what_is_pending_is_waited_for_and_named(fresh: cloud.Running) -> None:
    fresh.cloud.delay_s = 60
    result = suite.apply(provider(fresh), FIRST[:2], chosen=suite.options(health_timeout_s=0.3))
    assert {o.result for o in result.outcomes} == {Result.FAILED_PERMANENT}
    assert f"of {ZONE} is pending" in result.outcomes[0].error
    fresh.cloud.delay_s = 0.02
    fresh.cloud.zones[ZONE.replace(".", "-")].waiting.clear()
    made = provider(fresh)
    assert suite.summary(suite.plan(made, FIRST[:2])) == []


def test_answers_are_those_of_a_change_that_is_done(fresh: cloud.Running) -> None:
    fresh.cloud.delay_s = 0.4
    result = suite.apply(provider(fresh), FIRST[:2])
    assert not result.failed, result
    zone = fresh.cloud.zones[ZONE.replace(".", "-")]
    assert (f"mlab1-a.{ZONE}.", "A") in zone.served


@pytest.mark.parametrize(
    "fault",
    [
        faultproxy.status(429, headers={"Retry-After": "0"}, times=1),
        faultproxy.status(503, times=2),
        faultproxy.status(
            403,
            body=b'{"error": {"code": 403, "message": "slow", "errors": [{"reason": "rateLimitExceeded"}]}}',
            times=1,
        ),
        faultproxy.down(times=2),
        faultproxy.down(times=1, forward=True, only=lambda method, path: method == "POST"),
        faultproxy.truncated(times=1),
    ],
    ids=["429", "503", "403", "down", "answer lost", "truncated"],
)
def test_what_passes_is_tried_again_and_nothing_is_doubled(fresh: cloud.Running, fault: faultproxy.Fault) -> None:
    with faultproxy.FaultProxy(fresh.url) as proxy:
        one = provider(fresh, proxy.url)
        made = suite.plan(one, FIRST)
        assert made.complete
        proxy.fault = fault
        result = suite.apply(one, FIRST)
        proxy.fault = None
        if result.failed or result.refused:
            one.unlock(suite.holder().identity)
            result = suite.apply(one, FIRST)
        assert not result.failed, result
    assert suite.summary(suite.plan(provider(fresh), FIRST)) == []
    assert len(servers.owned(dict(backend(fresh).read(ZONE)))["lists"]) == 2


@pytest.mark.parametrize(
    "fault", [faultproxy.html(), faultproxy.status(200, body=b"{}"), faultproxy.status(404, body=b"<html>")]
)
def test_a_page_of_some_gateway_is_no_empty_zone(fresh: cloud.Running, fault: faultproxy.Fault) -> None:
    suite.apply(provider(fresh), FIRST)
    with faultproxy.FaultProxy(fresh.url) as proxy:
        proxy.fault = fault
        made = suite.plan(provider(fresh, proxy.url), FIRST)
    assert not made.complete and not made.changes and len(made.problems) == 1


def test_a_project_without_the_zone_says_which(fresh: cloud.Running) -> None:
    with pytest.raises(Permanent, match=r"mlab-sandbox has no public managed zone for nowhere\.test"):
        backend(fresh).read("nowhere.test")


def test_servers_of_a_zone_are_those_that_the_api_names(fresh: cloud.Running, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def found(host: str, port: int, **options: Any) -> Any:
        asked.append(host)
        return [(0, 0, 0, "", ("127.0.0.1", port))]

    client = CloudDns("mlab-sandbox", {"endpoint": fresh.url, "anonymous": True}, ())
    client.read(ZONE)
    monkeypatch.setattr("reconcilers.providers.dns.cloud.socket.getaddrinfo", found)
    assert client.servers(ZONE) == [("127.0.0.1", 53)] and asked == ["ns-cloud-a1.dns-servers.test"]


def test_no_server_is_temporary(fresh: cloud.Running) -> None:
    with pytest.raises(Temporary):
        backend(fresh, f"http://127.0.0.1:{faultproxy.closed_port()}").read(ZONE)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"additions": [], "deletions": []}, 400, "required"),
        ({"additions": [{"name": "x.other.", "type": "A", "ttl": 1, "rrdatas": ["192.0.2.1"]}]}, 400, "invalid"),
        ({"additions": [{"name": f"x.{ZONE}.", "type": "A", "ttl": 1, "rrdatas": ["1.2.3"]}]}, 400, "invalid"),
        (
            {
                "additions": [
                    {"name": f"x.{ZONE}.", "type": "A", "ttl": 1, "rrdatas": ["192.0.2.1"]},
                    {"name": f"x.{ZONE}.", "type": "CNAME", "ttl": 1, "rrdatas": ["y."]},
                ]
            },
            400,
            "cnameResourceRecordSetConflict",
        ),
    ],
)
def test_the_stand_in_refuses_what_the_api_refuses(fresh: cloud.Running, body: Any, status: int, reason: str) -> None:
    zone = fresh.cloud.zones[ZONE.replace(".", "-")]
    before = dict(zone.live)
    with pytest.raises(cloud.Refusal) as refused:
        fresh.cloud.change(zone, {"additions": [], "deletions": [], **body})
    assert (refused.value.code, refused.value.reason) == (status, reason) and zone.live == before
