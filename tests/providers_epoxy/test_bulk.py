"""The first apply of an environment's size, and the cost of a plan without changes."""

from __future__ import annotations

import time

from reconcilers.core.model import Id, Resource, Result, Span
from reconcilers.providers.epoxy import provider as epoxy
from tests import epoxy_service
from tests.conformance import suite

HOSTS = 384
LIMIT_S = 20.0
"""Four times the aim of 5 s: other tests share the machine; `tests/bench/` measures on a quiet one."""


def test_an_environment_of_384_hosts_is_registered_at_once_and_read_by_one_request(
    service: epoxy_service.Service,
) -> None:
    provider = epoxy.Epoxy("sandbox/epoxy", f"{service.url}/admin", f"file:{service.admin_token_file}")
    names = [epoxy_service.name(number % 4 + 1, f"abc{number // 4:02d}") for number in range(HOSTS)]
    wanted = [Resource(Id("Host", n), epoxy_service.spec(n), Span("config/sites/abc.yaml", 1)) for n in names]
    begun = time.monotonic()
    result = suite.apply(provider, wanted)
    took = time.monotonic() - begun
    assert [o.result for o in result.outcomes] == [Result.APPLIED] * HOSTS
    assert took < LIMIT_S, f"{took:.1f} s"
    print(f"first apply of {HOSTS} hosts: {took:.2f} s")
    listed = service.log.read_text().count('"path": "/admin/v1/hosts", "status": 200')
    begun = time.monotonic()
    made = suite.plan(provider, wanted)
    print(f"plan without change: {time.monotonic() - begun:.2f} s")
    assert made.unchanged == HOSTS and not made.changes
    provider.close()
    assert service.log.read_text().count('"path": "/admin/v1/hosts", "status": 200') == listed + 1
