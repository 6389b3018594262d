"""What the provider makes of a server that is down, slow, busy, closed to us, or talks rubbish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from reconcilers.core import engine
from reconcilers.core.errors import Conflict, MlabError, Permanent, Temporary
from reconcilers.core.model import Action, Change, HealthState, Id, Observed, Owner, Resource, Result, Span
from reconcilers.core.provider import Context, Holder
from reconcilers.providers import epoxy, json_api
from tests import epoxy_service, faultproxy
from tests.conformance import suite

SCOPE = "sandbox/epoxy"
QUICK = json_api.Limits(connect_s=2, read_s=0.5, total_s=1.5)


@pytest.fixture(scope="module")
def proxy(shared: epoxy_service.Service) -> Iterator[faultproxy.FaultProxy]:
    with faultproxy.FaultProxy(shared.url) as made:
        yield made


@pytest.fixture
def provider(shared: epoxy_service.Service, proxy: faultproxy.FaultProxy) -> Iterator[epoxy.Epoxy]:
    proxy.fault = None
    proxy.seen.clear()
    made = epoxy.Epoxy(SCOPE, f"{proxy.url}/admin", f"file:{shared.admin_token_file}", limits=QUICK)
    yield made
    proxy.fault = None
    made.close()


def host(number: int, site: str, **changes: object) -> Resource:
    name = epoxy_service.name(number, site)
    return Resource(Id("Host", name), epoxy_service.spec(name, **changes), Span("config/sites/x.yaml", 1))


def creation(resource: Resource) -> Change:
    return Change(Action.CREATE, resource.id, resource, None)


def context() -> Context:
    mark = Owner("mlab", "sandbox", SCOPE, "config/sites/x.yaml", "c0ffee0")
    return Context(mark=lambda change: mark, fault=lambda point: None, still_held=lambda: None)


def live(provider: epoxy.Epoxy, identity: Id) -> Observed | None:
    found = {item.id: item for item in provider.observe([identity])}
    return found.get(identity)


ERROR = b'{"error": {"code": "x", "message": "as asked", "field": null}}'
FAULTS = [
    ("down", faultproxy.down(), Temporary),
    ("slow", faultproxy.slow(), Temporary),
    ("drip", faultproxy.drip(), Temporary),
    ("html", faultproxy.html(), Temporary),
    ("truncated", faultproxy.truncated(), Temporary),
    ("empty", faultproxy.status(200, body=b""), Temporary),
    ("other json", faultproxy.status(200, body=b'{"hello": "world"}'), Temporary),
    ("json list", faultproxy.status(200, body=b"[1, 2]"), Temporary),
    ("half a record", faultproxy.status(200, body=b'{"hosts": [{"desired": {}}], "next": null}'), Temporary),
    ("endless pages", faultproxy.status(200, body=b'{"hosts": [], "next": ""}'), Temporary),
    ("next of another type", faultproxy.status(200, body=b'{"hosts": [], "next": 7}'), Temporary),
    ("deep json", faultproxy.status(200, body=b"[" * 100_000), Temporary),
    ("redirect", faultproxy.status(302, headers={"Location": "http://127.0.0.1:9/"}), Permanent),
    *((str(code), faultproxy.status(code, body=ERROR), Permanent) for code in (400, 401, 403, 404, 405, 413, 422, 428)),
    ("404 page", faultproxy.status(404, body=b"<html>404 page not found"), Permanent),
    *(
        (str(code), faultproxy.status(code, body=b"<html>busy"), Temporary)
        for code in (408, 425, 429, 500, 502, 503, 504)
    ),
]


@pytest.mark.parametrize(("fault", "kind"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_each_bad_answer_to_a_list_is_one_error_of_the_right_kind(
    provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy, fault: faultproxy.Fault, kind: type[MlabError]
) -> None:
    proxy.fault = fault
    with pytest.raises(kind) as caught:
        list(provider.observe([]))
    text = str(caught.value)
    assert "\n" not in text and len(text) < 512
    assert epoxy_service.ADMIN_TOKEN not in text
    proxy.fault = None
    assert isinstance(list(provider.observe([])), list)


@pytest.mark.parametrize(("fault", "kind"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_write_whose_answer_is_lost_or_spoilt_is_done_once_by_the_second_try(
    provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy, fault: faultproxy.Fault, kind: type[MlabError]
) -> None:
    number = [f[1] for f in FAULTS].index(fault) + 1
    wanted = host(number, "lost1")
    proxy.fault = replace(fault, forward=True)
    try:
        provider.apply([creation(wanted)], context())
    except MlabError:
        proxy.fault = None
    proxy.fault = None
    provider.apply([creation(wanted)], context())
    found = live(provider, wanted.id)
    assert found is not None and found.spec == provider.normalise(wanted)

    deletion = Change(Action.DELETE, wanted.id, None, found)
    proxy.fault = replace(fault, forward=True)
    try:
        provider.apply([deletion], context())
    except MlabError:
        proxy.fault = None
    proxy.fault = None
    provider.apply([deletion], context())
    assert live(provider, wanted.id) is None


@pytest.mark.parametrize("body", [b"<html>not here", b'{"error": {"code": "path.unknown", "message": "m"}}'])
def test_a_wrong_address_does_not_pass_for_a_deleted_host(
    provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy, body: bytes
) -> None:
    wanted = host(1, "addr1")
    provider.apply([creation(wanted)], context())
    proxy.fault = faultproxy.status(404, body=body)
    with pytest.raises(Permanent):
        provider.apply([Change(Action.DELETE, wanted.id, None, live_item(wanted.id))], context())


def live_item(identity: Id) -> Observed:
    return Observed(identity, {}, None, token='"1"')


def test_retry_after_is_read_as_seconds_and_as_a_date(provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy) -> None:
    for code in (429, 503):
        proxy.fault = faultproxy.status(code, headers={"Retry-After": "7"})
        with pytest.raises(Temporary) as caught:
            list(provider.observe([]))
        assert caught.value.retry_after_s == 7
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    proxy.fault = faultproxy.status(503, headers={"Retry-After": when})
    with pytest.raises(Temporary) as caught:
        list(provider.observe([]))
    assert caught.value.retry_after_s is not None and 90 < caught.value.retry_after_s <= 100
    assert json_api.retry_after_s("soon") is None
    assert json_api.retry_after_s("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert json_api.retry_after_s("-5") is None


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
    provider.apply([creation(wanted)], context())
    before = live(provider, wanted.id)
    assert before is not None
    path = f"/admin/v1/hosts/{wanted.id.name}"
    record = shared.call("GET", path).json()
    body = {**record["desired"], "ImagesVersion": "other"}
    assert shared.call("PUT", path, json=body, headers={"If-Match": record["etag"]}).ok
    newer = replace(wanted, spec={**wanted.spec, "ImagesVersion": "ours"})
    for change in (
        Change(Action.UPDATE, wanted.id, newer, before),
        Change(Action.DELETE, wanted.id, None, before),
        creation(newer),
    ):
        with pytest.raises(Conflict):
            provider.apply([change], context())
    found = live(provider, wanted.id)
    assert found is not None and found.spec["ImagesVersion"] == "other"


def test_a_boot_between_plan_and_apply_is_no_conflict_and_is_shown(
    provider: epoxy.Epoxy, shared: epoxy_service.Service
) -> None:
    from services.epoxy import store

    wanted = host(1, "boot1")
    provider.apply([creation(wanted)], context())
    before = live(provider, wanted.id)
    assert before is not None and before.note == "never booted"
    beside = store.connect(shared.store_url)
    beside.observe(
        wanted.id.name,
        lambda seen: replace(seen, update_enabled=True, last_session_creation_ns=1_700_000_000_000_000_000),
    )
    beside.close()
    newer = replace(wanted, spec={**wanted.spec, "ImagesVersion": "v9"})
    provider.apply([Change(Action.UPDATE, wanted.id, newer, before)], context())
    after = live(provider, wanted.id)
    assert after is not None
    assert after.note == "last boot 2023-11-14T22:13:20Z, no success yet"
    seen = shared.call("GET", f"/admin/v1/hosts/{wanted.id.name}").json()["observed"]
    assert seen["UpdateEnabled"] is True


def test_forgetting_a_host_removes_the_mark_and_nothing_else(
    provider: epoxy.Epoxy, shared: epoxy_service.Service
) -> None:
    wanted = host(1, "forg1")
    provider.apply([creation(wanted)], context())
    found = live(provider, wanted.id)
    provider.apply([Change(Action.FORGET, wanted.id, None, found)], context())
    desired = shared.call("GET", f"/admin/v1/hosts/{wanted.id.name}").json()["desired"]
    assert desired == {**provider.normalise(wanted), "Owner": None}


def test_health_is_the_presence_of_the_record(provider: epoxy.Epoxy) -> None:
    wanted = host(1, "heal1")
    assert provider.health(wanted.id).state is HealthState.FAILED
    provider.apply([creation(wanted)], context())
    assert provider.health(wanted.id).state is HealthState.CURRENT


def test_a_lock_is_not_taken_for_granted_when_the_answer_is_lost(
    provider: epoxy.Epoxy, proxy: faultproxy.FaultProxy
) -> None:
    holder = Holder("run-lost", "ci", "", "2026-01-01T00:00:00Z")
    proxy.fault = faultproxy.down(forward=True, times=1)
    with pytest.raises(Temporary):
        provider.lock(holder, 60)
    lock = provider.lock(holder, 60)
    lock.renew()
    proxy.fault = faultproxy.down()
    with pytest.raises(Temporary):
        lock.renew()
    proxy.fault = None
    lock.release()
    lock.release()
