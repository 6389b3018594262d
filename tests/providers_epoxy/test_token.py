"""Where the token goes: to the configured server over a safe way, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconcilers.core.errors import Permanent
from reconcilers.providers import secrets
from reconcilers.providers.epoxy import provider as epoxy
from tests import epoxy_service, faultproxy


@pytest.mark.parametrize(
    "url", ["http://epoxy.test/admin", "http://198.18.0.1/admin", "ftp://127.0.0.1/admin", "epoxy.test/admin", ""]
)
def test_a_token_is_not_sent_in_the_clear(url: str) -> None:
    provider = epoxy.Epoxy("sandbox/epoxy", url, "env:NEVER_READ")
    with pytest.raises(Permanent, match="https only"):
        list(provider.observe([]))
    provider.close()


def test_a_rotated_token_is_read_at_the_next_call(service: epoxy_service.Service, tmp_path: Path) -> None:
    file = tmp_path / "client-token"
    file.write_text(epoxy_service.ADMIN_TOKEN)
    provider = epoxy.Epoxy("sandbox/epoxy", f"{service.url}/admin", {"secretRef": f"file:{file}"})
    assert list(provider.observe([])) == []
    service.admin_token_file.write_text("the-next-token-of-this-test\n")
    with pytest.raises(Permanent, match="401"):
        list(provider.observe([]))
    file.write_text("the-next-token-of-this-test\n")
    assert list(provider.observe([])) == []
    provider.close()


def test_a_server_that_quotes_the_token_does_not_put_it_into_an_error(
    service: epoxy_service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "quoted-token-of-this-test"
    monkeypatch.setenv("MLAB_TEST_QUOTED", token)
    with faultproxy.FaultProxy(service.url) as proxy:
        provider = epoxy.Epoxy("sandbox/epoxy", f"{proxy.url}/admin", "env:MLAB_TEST_QUOTED")
        body = f'{{"error": {{"code": "auth", "message": "no such token {token}"}}}}'.encode()
        for fault in (
            faultproxy.status(401, body=body),
            faultproxy.status(403, body=f"<p>{token}".encode()),
        ):
            proxy.fault = fault
            with pytest.raises(Permanent) as caught:
                list(provider.observe([]))
            assert token not in str(caught.value) and secrets.MASK in str(caught.value)
        provider.close()


@pytest.mark.parametrize("content", ["two words", "with\ttab", "ümlaut-token-of-this-test"])
def test_a_token_that_no_header_can_carry_is_refused_before_it_is_sent(
    service: epoxy_service.Service, tmp_path: Path, content: str
) -> None:
    (tmp_path / "token").write_text(content)
    provider = epoxy.Epoxy("sandbox/epoxy", f"{service.url}/admin", f"file:{tmp_path / 'token'}")
    with pytest.raises(Permanent) as caught:
        list(provider.observe([]))
    assert content not in str(caught.value)
    provider.close()
