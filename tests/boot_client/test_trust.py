"""Whom the client believes: one authority, the right name, a valid time; and how it finds a common cipher."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.boot import client, tls, transfer
from node.boot.errors import BadDocument, Temporary, Usage
from tests.boot_client.authority import Authority
from tests.boot_client.bootserver import Reply, Server, Site, document
from tests.boot_client.conftest import Machine

NO_AES = "flags : fpu sse2 rdrand"


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "foreign")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("foreign", "certificate is not trusted: unable to get local issuer certificate"),
        ("name", "certificate is not trusted: "),
        ("expired", "certificate is not trusted: certificate has expired"),
    ],
)
@pytest.mark.parametrize("aes", [True, False])
def test_a_server_that_proves_nothing_gets_no_request(
    machine: Machine, authority: Authority, other: Authority, monkeypatch: pytest.MonkeyPatch, kind: str, message: str,
    capfd: pytest.CaptureFixture[str], *, aes: bool,
) -> None:  # fmt: skip
    leaf = {
        "foreign": lambda: other.leaf("foreign-leaf"),
        "name": lambda: authority.leaf("wrong-name", host="elsewhere.test", address="127.0.0.2"),
        "expired": lambda: authority.leaf("expired", expired=True),
    }[kind]()
    monkeypatch.setattr(tls, "_has_aes", lambda flags: aes)
    server = Server(leaf)
    try:
        site = server.site()
        machine.kargs["epoxy.stage2"] = site.on("POST", "/stage2", document({"v1": {}}))
        assert machine.boot() == client.FAILED
        assert site.asked == []
        assert message in capfd.readouterr().err
    finally:
        server.close()


@pytest.fixture(scope="module")
def shapes(authority: Authority) -> Iterator[dict[str, Server]]:
    """Servers that offer only something of TLS."""

    def tls13(context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3

    def aes(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AESGCM")

    def both(context: ssl.SSLContext) -> None:
        context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")

    leaf = authority.leaf("shapes")
    running = {shape.__name__: Server(leaf, shape=shape) for shape in (tls13, aes, both)}
    yield running
    for server in running.values():
        server.close()


@pytest.mark.parametrize(
    ("shape", "flags", "version", "cipher"),
    [
        ("both", NO_AES, "TLSv1.2", "CHACHA20"),
        ("both", NO_AES + " aes", "TLSv1.3", "AES"),
        ("aes", NO_AES, "TLSv1.2", "AES"),
        ("tls13", NO_AES, "TLSv1.3", ""),
    ],
)
def test_a_processor_without_aes_asks_for_chacha_first_and_takes_what_there_is(
    shapes: dict[str, Server], authority: Authority, shape: str, flags: str, version: str, cipher: str
) -> None:
    site = shapes[shape].site()
    url = site.on("GET", "/d", document({"v1": {}}))
    assert transfer.get(url, transfer.Network(tls.offers(authority.file, flags))).status == 200
    (asked,) = site.asked
    assert asked.tls == version and cipher in asked.cipher


def test_a_handshake_that_fails_for_want_of_trust_is_not_tried_with_another_cipher() -> None:
    untrusted = ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED: HANDSHAKE_FAILURE")
    assert not tls.may_try_next(untrusted)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_is_none_is_a_usage_error(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Usage, match="--ca-file"):
        tls.offers(file)


@pytest.mark.parametrize(
    ("url", "hashed", "good"),
    [
        ("https://s.test/p", False, True),
        ("http://s.test/p", True, True),
        ("http://s.test/p", False, False),
        ("http://127.0.0.1:80/p", False, True),
        ("http://[::1]/p", False, True),
        ("http://localhost/p", False, True),
        ("http://localhost.evil.test/p", False, False),
        ("ftp://s.test/p", True, False),
        ("https:///p", True, False),
        ("https://s.test:0/p", True, False),
        ("https://s.test:99999/p", True, False),
        ("https://s.test/a b", True, False),
        ("https://s.test/a\nb", True, False),
        ("https://s.test/é", True, False),
        ("https://[::1/p", True, False),
        ("", True, False),
    ],
)
def test_plain_http_needs_a_hash_and_a_url_has_no_blanks(url: str, *, hashed: bool, good: bool) -> None:
    if good:
        assert transfer.parts(url, hashed=hashed).hostname
    else:
        with pytest.raises(BadDocument):
            transfer.parts(url, hashed=hashed)


def test_a_server_that_is_not_there_is_a_temporary_failure(authority: Authority) -> None:
    with pytest.raises(Temporary, match="no connection"):
        transfer.get("https://127.0.0.1:9/x", transfer.network(authority.file))


def test_an_answer_is_read_no_further_than_its_limit(site: Site, authority: Authority) -> None:
    net = transfer.network(authority.file)
    url = site.on("GET", "/long", Reply(200, b"0123456789"), Reply(200, b"01234567890"))
    assert transfer.get(url, net, limit=10).body == b"0123456789"
    with pytest.raises(BadDocument, match="more than 10 bytes"):
        transfer.get(url, net, limit=10)
