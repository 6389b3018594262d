"""What the buckets provider makes of a store that is down, slow, busy, closed to us, or talks rubbish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from msgspec import structs

from reconcilers.core import engine
from reconcilers.core.errors import Conflict, MlabError, Permanent, Refused, Temporary
from reconcilers.core.model import Action, Change, Result
from reconcilers.providers.buckets import lock as buckets_lock
from reconcilers.providers.buckets.api import Absent, Api
from reconcilers.providers.buckets.provider import GRANTS, BucketsProvider
from reconcilers.providers.records import Records
from tests import faultproxy
from tests.buckets.test_conformance import BASE, RECORDS, SITEINFO, BucketsHarness, environment
from tests.conformance import faults, suite

pytestmark = pytest.mark.xdist_group("buckets-faults")

SCOPE = "sandbox/buckets"
OWN = {
    "another kind": (faultproxy.status(200, body=b'{"kind": "storage#bucket", "name": "b"}'), Temporary),
    "pages without end": (
        faultproxy.status(200, body=b'{"kind": "storage#buckets", "nextPageToken": "again"}'),
        Temporary,
    ),
    "404 of a store": (faultproxy.status(404, body=b'{"error": {"message": "no such bucket"}}'), Absent),
    "412": (faultproxy.status(412, body=b"<html>"), Conflict),
}
FAULTS = {**faults.KINDS, **OWN}


@pytest.fixture(scope="module")
def proxy(url: str) -> Iterator[faultproxy.FaultProxy]:
    with faultproxy.FaultProxy(url) as made:
        yield made


@pytest.fixture(scope="module")
def harness(url: str) -> BucketsHarness:
    made = BucketsHarness(url)
    suite.applied(made, made.first)
    return made


@pytest.fixture
def provider(harness: BucketsHarness, proxy: faultproxy.FaultProxy) -> Iterator[BucketsProvider]:
    """The provider behind the proxy, over a store that holds the suite's first state."""
    yield from faults.behind(proxy, BucketsProvider(environment(proxy.url), faults.QUICK))


class TestFaults(faults.Faults):
    """The shared part, over a store that holds the suite's first state."""


@pytest.mark.parametrize(("fault", "kind"), OWN.values(), ids=OWN)
def test_each_bad_answer_of_a_store_is_one_error_of_the_right_kind(
    provider: BucketsProvider, proxy: faultproxy.FaultProxy, fault: faultproxy.Fault, kind: type[MlabError]
) -> None:
    faults.one_error(provider, proxy, fault, kind)


@pytest.mark.parametrize("fault", [fault for fault, _ in FAULTS.values()], ids=FAULTS)
def test_a_scope_whose_objects_cannot_be_listed_is_incomplete_and_plans_no_deletion(
    provider: BucketsProvider, proxy: faultproxy.FaultProxy, fault: faultproxy.Fault
) -> None:
    proxy.fault = replace(fault, only=lambda method, path: f"/b/{SITEINFO}/o" in path)
    made = engine.observe(engine.Work(provider, BASE), replace(suite.QUICK, tries=1))
    assert not made.complete and not made.changes and len(made.problems) == 1


@pytest.mark.parametrize(
    "name", ["down", "slow", "html", "truncated", "other json", "json list", "another kind", "empty"]
)
def test_a_run_whose_answers_are_lost_or_spoilt_is_completed_by_the_next(
    provider: BucketsProvider,
    harness: BucketsHarness,
    proxy: faultproxy.FaultProxy,
    name: str,
) -> None:
    for wanted in (harness.second, harness.first):
        proxy.fault = replace(
            FAULTS[name][0], forward=True, only=lambda method, path: method != "GET" and RECORDS not in path
        )
        suite.apply(provider, wanted)
        proxy.fault = None
        result = suite.apply(harness.provider(), wanted)
        assert not result.failed, (result.error, result.outcomes)
        assert suite.summary(suite.plan(harness.provider(), wanted)) == []


def test_a_busy_store_is_asked_again_until_it_answers(
    provider: BucketsProvider, harness: BucketsHarness, proxy: faultproxy.FaultProxy
) -> None:
    busy = faultproxy.status(503, only=lambda method, path: method == "PATCH", times=1)
    wanted = [structs.replace(BASE[0], spec={**BASE[0].spec, "versioning": {"enabled": True}}), *harness.first[1:]]
    proxy.fault = busy
    result = suite.apply(provider, wanted)
    assert [(o.result, o.tries) for o in result.outcomes] == [(Result.APPLIED, 2)]
    suite.applied(harness, harness.first)


def test_a_wrong_address_does_not_pass_for_a_deleted_bucket(
    provider: BucketsProvider, proxy: faultproxy.FaultProxy
) -> None:
    found = faults.live(provider, BASE[0].id)
    proxy.fault = faultproxy.status(404, body=b"<html>not here")
    with pytest.raises(Permanent, match="endpoint"):
        provider.apply([Change(Action.DELETE, BASE[0].id, None, found)], faults.context(SCOPE, "config/buckets/x.yaml"))


def test_a_wrong_address_does_not_pass_for_an_environment_that_was_never_applied(
    proxy: faultproxy.FaultProxy, harness: BucketsHarness
) -> None:
    records = Records(environment(proxy.url))
    assert records.read_applied("sandbox") == (None, 0)
    proxy.fault = faultproxy.status(404, body=b"<html>not here")
    with pytest.raises(Permanent):
        records.read_applied("sandbox")
    proxy.fault = None
    records.close()


def test_content_that_is_not_what_the_store_lists_is_not_believed(
    provider: BucketsProvider, proxy: faultproxy.FaultProxy
) -> None:
    provider.prepare([])
    proxy.fault = replace(faultproxy.html(), only=lambda method, path: "/download/" in path)
    with pytest.raises(Temporary, match="download"):
        list(provider.observe([]))


@pytest.mark.parametrize("content", [b"rubbish", b"[]", b"{}", b'{"identity": 1}'])
def test_a_lock_object_that_is_no_lock_stops_the_scope_with_its_name(
    provider: BucketsProvider, harness: BucketsHarness, content: bytes
) -> None:
    name = buckets_lock.lock_name(SCOPE)
    put(harness.api, name, content)
    with pytest.raises((Refused, Permanent), match=f"{RECORDS}/{name}"):
        provider.lock(faults.HOLDER, 60)
    remove(harness.api, name)


@pytest.mark.parametrize("content", [b"rubbish", b'{"grants": 1, "owner": {}}', b'{"owner": {"x": 1}, "grants": []}'])
def test_a_record_of_grants_that_is_none_makes_the_scope_incomplete(
    provider: BucketsProvider, harness: BucketsHarness, content: bytes
) -> None:
    name = f"{GRANTS}{SITEINFO}"
    kept, _ = harness.api.document(RECORDS, name)
    put(harness.api, name, content)
    made = engine.observe(engine.Work(provider, BASE), replace(suite.QUICK, tries=1))
    put(harness.api, name, json.dumps(kept).encode())
    assert not made.complete and name in made.problems[0]


def put(api: Api, name: str, content: bytes) -> None:
    api.upload(RECORDS, {"name": name, "contentType": "application/json"}, content, {})


def remove(api: Api, name: str) -> None:
    api.call("DELETE", f"/b/{RECORDS}/o/{name.replace('/', '%2F')}")
