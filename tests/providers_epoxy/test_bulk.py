"""The first apply of an environment's size, and the one request of a plan without changes."""

from __future__ import annotations

from reconcilers.core.model import Id, Resource, Result, Span
from reconcilers.providers.epoxy import provider as epoxy
from tests import epoxy_service
from tests.conformance import suite

HOSTS = 384


def test_an_environment_of_384_hosts_is_registered_and_read_by_one_request(
    service: epoxy_service.Service,
) -> None:
    provider = epoxy.Epoxy("sandbox/epoxy", f"{service.url}/admin", f"file:{service.admin_token_file}")
    names = [epoxy_service.name(number % 4 + 1, f"abc{number // 4:02d}") for number in range(HOSTS)]
    wanted = [Resource(Id("Host", n), epoxy_service.spec(n), Span("config/sites/abc.yaml", 1)) for n in names]
    result = suite.apply(provider, wanted)
    assert [o.result for o in result.outcomes] == [Result.APPLIED] * HOSTS
    listed = service.log.read_text().count('"path": "/admin/v1/hosts", "status": 200')
    made = suite.plan(provider, wanted)
    assert made.unchanged == HOSTS and not made.changes
    provider.close()
    assert service.log.read_text().count('"path": "/admin/v1/hosts", "status": 200') == listed + 1
