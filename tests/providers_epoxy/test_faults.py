"""What the provider makes of a server that is down, slow, busy, closed to us, or talks rubbish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from msgspec import structs

from reconcilers.core import engine
from reconcilers.core.errors import Conflict, MlabError, Permanent, Temporary
from reconcilers.core.model import Action, Change, HealthState, Id, Observed, Resource, Result, Span
from reconcilers.providers.epoxy import provider as epoxy
from services.epoxy import records, store
from tests import epoxy_service, faultproxy
from tests.conformance import faults, suite

SCOPE = "sandbox/epoxy"


@pytest.fixture(scope="module")
def proxy(shared: epoxy_service.Service) -> Iterator[faultproxy.FaultProxy]:
    with faultproxy.FaultProxy(shared.url) as made:
        yield made


@pytest.fixture
def provider(shared: epoxy_service.Service, proxy: faultproxy.FaultProxy) -> Iterator[epoxy.Epoxy]:
    url, token = f"{proxy.url}/admin", f"file:{shared.admin_token_file}"
    yield from faults.behind(proxy, epoxy.Epoxy(SCOPE, url, token, limits=faults.QUICK))


def host(number: int, site: str, **changes: object) -> Resource:
    name = epoxy_service.name(number, site)
    return Resource(Id("Host", name), epoxy_service.spec(name, **changes), Span("config/sites/x.yaml", 1))


def creation(resource: Resource) -> Change:
    return Change(Action.CREATE, resource.id, resource, None)


CONTEXT = faults.context(SCOPE, "config/sites/x.yaml")
OWN = {
    "half a record": (faultproxy.status(200, body=b'{"hosts": [{"desired": {}}], "next": null}'), Temporary),
    "endless pages": (faultproxy.status(200, body=b'{"hosts": [], "next": ""}'), Temporary),
    "next of another type": (faultproxy.status(200, body=b'{"hosts": [], "next": 7}'), Temporary),
    "404 of ours": (faultproxy.status(404, body=b'{"error": {"code": "x", "message": "as asked"}}'), Permanent),
}
FAULTS = {**faults.KINDS, **OWN}


class TestFaults(faults.Faults):
    """The shared part."""


@pytest.mark.parametrize(("fault", "kind"), OWN.values(), ids=OWN)
def test_each_bad_answer_of_a_registry_is_one_error_of_the_right_kind(
    provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy, fault: faultproxy.Fault, kind: type[MlabError]
) -> None:
    faults.one_error(provider, proxy, fault, kind)


def test_an_error_does_not_tell_the_token(provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy) -> None:
    proxy.fault = faultproxy.status(400, body=epoxy_service.ADMIN_TOKEN.encode())
    with pytest.raises(Permanent) as caught:
        list(provider.observe([]))
    assert epoxy_service.ADMIN_TOKEN not in str(caught.value)


@pytest.mark.parametrize("name", FAULTS)
def test_a_write_whose_answer_is_lost_or_spoilt_is_done_once_by_the_second_try(
    provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy, name: str
) -> None:
    number, fault = list(FAULTS).index(name) + 1, FAULTS[name][0]
    wanted = host(number, "lost1")
    proxy.fault = replace(fault, forward=True)
    try:
        provider.apply([creation(wanted)], CONTEXT)
    except MlabError:
        proxy.fault = None
    proxy.fault = None
    provider.apply([creation(wanted)], CONTEXT)
    found = faults.live(provider, wanted.id)
    assert found is not None and found.spec == provider.normalise(wanted)

    deletion = Change(Action.DELETE, wanted.id, None, found)
    proxy.fault = replace(fault, forward=True)
    try:
        provider.apply([deletion], CONTEXT)
    except MlabError:
        proxy.fault = None
    proxy.fault = None
    provider.apply([deletion], CONTEXT)
    assert faults.live(provider, wanted.id) is None


@pytest.mark.parametrize("body", [b"<html>not here", b'{"error": {"code": "path.unknown", "message": "m"}}'])
def test_a_wrong_address_does_not_pass_for_a_deleted_host(
    provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy, body: bytes
) -> None:
    wanted = host(1, "addr1")
    provider.apply([creation(wanted)], CONTEXT)
    proxy.fault = faultproxy.status(404, body=body)
    with pytest.raises(Permanent):
        provider.apply([Change(Action.DELETE, wanted.id, None, live_item(wanted.id))], CONTEXT)


def live_item(identity: Id) -> Observed:
    return Observed(identity, {}, None, token='"1"')


def test_retry_after_is_read_as_seconds_and_as_a_date(provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy) -> None:
    for code in (429, 503):
        proxy.fault = faultproxy.status(code, headers={"Retry-After": "7"})
        with pytest.raises(Temporary) as caught:
            list(provider.observe([]))
        assert caught.value.retry_after_s == 7
    when = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    began = time.monotonic()
    proxy.fault = faultproxy.status(503, headers={"Retry-After": when})
    with pytest.raises(Temporary) as caught:
        list(provider.observe([]))
    assert caught.value.retry_after_s is not None
    assert 3598.9 - (time.monotonic() - began) < caught.value.retry_after_s <= 3600, "a date has whole seconds"


def test_a_busy_server_is_asked_again_until_it_answers(
    provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy, shared: epoxy_service.Service
) -> None:
    wanted = [host(number, "busy1") for number in range(1, 4)]
    for resource in wanted:
        body = epoxy_service.record(resource.id.name, Owner=mark(resource))
        shared.create({**body, "ImagesVersion": "old"})
    proxy.fault = faultproxy.status(503, only=lambda method, path: method == "PUT" and "/hosts/" in path, times=2)
    others = others_of(provider, wanted)
    result = suite.apply(provider, [*wanted, *others])
    assert [o.result for o in result.outcomes] == [Result.APPLIED] * 3
    assert max(o.tries for o in result.outcomes) > 1


def others_of(provider: epoxy.Epoxy, wanted: list[Resource]) -> list[Resource]:
    """What other tests left on the shared server, so that this one deletes nothing."""
    names = {resource.id for resource in wanted}
    return [Resource(o.id, dict(o.spec), Span("x")) for o in provider.observe([]) if o.id not in names]


def mark(resource: Resource) -> dict[str, str]:
    return {"owner": "mlab", "env": "sandbox", "scope": SCOPE, "source": resource.span.file, "commit": "0"}


def test_a_token_that_may_not_write_stops_the_scope_at_its_lock(shared: epoxy_service.Service) -> None:
    reader = epoxy.Epoxy(SCOPE, f"{shared.url}/admin", f"file:{shared.read_token_file}")
    wanted = [host(1, "read1")]
    made = suite.plan(reader, wanted)
    result = engine.apply([engine.Work(reader, tuple(wanted))], [made], suite.options())[0]
    reader.close()
    assert "403" in result.error and not result.outcomes


def test_a_host_moved_by_another_is_a_conflict_and_stays_as_the_other_made_it(
    provider: epoxy.Epoxy, shared: epoxy_service.Service
) -> None:
    wanted = host(1, "move1")
    provider.apply([creation(wanted)], CONTEXT)
    before = faults.live(provider, wanted.id)
    assert before is not None
    path = f"/admin/v1/hosts/{wanted.id.name}"
    record = shared.call("GET", path).json()
    body = {**record["desired"], "ImagesVersion": "other"}
    assert shared.call("PUT", path, json=body, headers={"If-Match": record["etag"]}).ok
    newer = structs.replace(wanted, spec={**wanted.spec, "ImagesVersion": "ours"})
    for change in (
        Change(Action.UPDATE, wanted.id, newer, before),
        Change(Action.DELETE, wanted.id, None, before),
        creation(newer),
    ):
        with pytest.raises(Conflict):
            provider.apply([change], CONTEXT)
    found = faults.live(provider, wanted.id)
    assert found is not None and found.spec["ImagesVersion"] == "other"


def test_a_boot_between_plan_and_apply_is_no_conflict_and_is_shown(
    provider: epoxy.Epoxy, shared: epoxy_service.Service
) -> None:
    wanted = host(1, "boot1")
    provider.apply([creation(wanted)], CONTEXT)
    before = faults.live(provider, wanted.id)
    assert before is not None and before.note == "never booted"
    beside = store.connect(shared.store_url)
    epoxy_service.observe(
        beside,
        wanted.id.name,
        lambda seen: replace(seen, update_enabled=True, last_session_creation_ns=1_700_000_000_000_000_000),
    )
    beside.close()
    newer = structs.replace(wanted, spec={**wanted.spec, "ImagesVersion": "v9"})
    provider.apply([Change(Action.UPDATE, wanted.id, newer, before)], CONTEXT)
    after = faults.live(provider, wanted.id)
    assert after is not None
    assert after.note == "last boot 2023-11-14T22:13:20Z, no success yet; the update flag is set"
    seen = shared.call("GET", f"/admin/v1/hosts/{wanted.id.name}").json()["observed"]
    assert seen["UpdateEnabled"] is True


def test_forgetting_a_host_removes_the_mark_and_nothing_else(
    provider: epoxy.Epoxy, shared: epoxy_service.Service
) -> None:
    wanted = host(1, "forg1")
    provider.apply([creation(wanted)], CONTEXT)
    found = faults.live(provider, wanted.id)
    provider.apply([Change(Action.FORGET, wanted.id, None, found)], CONTEXT)
    desired = shared.call("GET", f"/admin/v1/hosts/{wanted.id.name}").json()["desired"]
    assert desired == {**provider.normalise(wanted), "Owner": None}


def test_health_is_the_presence_of_the_record(provider: epoxy.Epoxy) -> None:
    wanted = host(1, "heal1")
    assert provider.health(wanted.id).state is HealthState.FAILED
    provider.apply([creation(wanted)], CONTEXT)
    assert provider.health(wanted.id).state is HealthState.CURRENT


@pytest.mark.parametrize(
    ("set_after_s", "version", "told"),
    [
        (-1, "", "next boot ordered: update, told in stage1, pending until stage2, until 2023-11-15T22:13:20Z"),
        (1, "v7", "next boot ordered: update at v7, not told yet, until 2023-11-15T22:13:20Z"),
    ],
)
def test_an_order_for_one_boot_is_shown_until_the_machine_got_it(
    provider: epoxy.Epoxy, shared: epoxy_service.Service, set_after_s: int, version: str, told: str
) -> None:
    booted_ns, second_ns = 1_700_000_000_000_000_000, 1_000_000_000
    wanted = host(1, f"ordered{set_after_s + 2}")
    provider.apply([creation(wanted)], CONTEXT)
    order = records.NextBoot("update", version, booted_ns + set_after_s * second_ns, booted_ns + 86400 * second_ns)
    beside = store.connect(shared.store_url)
    epoxy_service.observe(
        beside,
        wanted.id.name,
        lambda seen: replace(seen, next_boot=order, last_session_creation_ns=booted_ns),
    )
    beside.close()
    found = faults.live(provider, wanted.id)
    assert found is not None and found.note.endswith(told)
