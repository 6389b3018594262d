"""The two TLS listeners: what each speaks, whom each trusts, and certificates that change while it serves."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.epoxy import tls
from tests import epoxy_service, waiting
from tests.epoxy import authorities
from tests.epoxy_service import Service

NONE = "no handshake"


@dataclass
class Listeners:
    service: Service
    folder: Path

    def address(self, listener: str) -> tuple[str, int]:
        text = self.service.rom_address if listener == "rom" else self.service.linux_address
        host, port = text.split(":")
        return host, int(port)

    def shake(self, listener: str, ciphers: str, *, newest: ssl.TLSVersion, oldest: ssl.TLSVersion) -> str:
        """What a client of these abilities ends up with."""
        context = ssl.create_default_context(cafile=authorities.trust(self.folder, listener))
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = oldest, newest
        try:
            with (
                socket.create_connection(self.address(listener), timeout=30) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as wrapped,
            ):
                found = wrapped.cipher()
                return f"{wrapped.version()} {found[0] if found else ''}"
        except (ssl.SSLError, ConnectionResetError):
            return NONE

    def post(self, listener: str, path: str, certificate: Path | None) -> int | None:
        """The status of a POST with this client certificate; None where the connection ends."""
        context = ssl.create_default_context(cafile=authorities.trust(self.folder, listener))
        if certificate is not None:
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        try:
            with (
                socket.create_connection(self.address(listener), timeout=30) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as wrapped,
            ):
                wrapped.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
                answer = wrapped.recv(64)
                return int(answer.split()[1]) if answer else None
        except (ssl.SSLError, ConnectionError):
            return None


def options(folder: Path, *more: str) -> list[str]:
    made = []
    for listener in ("rom", "linux"):
        path = authorities.serve(folder, listener, listener)
        made += [f"--{listener}-listen=127.0.0.1:0", f"--{listener}-certificate={path}"]
        made += [f"--{listener}-key={path.with_suffix('.key')}"]
    return [*made, *more]


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    folder = tmp_path_factory.mktemp("tls")
    made = epoxy_service.Service(folder, *options(folder)).start()
    yield Listeners(made, folder)
    made.kill()


V11, V12, V13 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
@pytest.mark.parametrize(
    ("listener", "ciphers", "oldest", "newest", "expected"),
    [
        ("rom", "ECDHE-RSA-AES256-GCM-SHA384", V12, V12, "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384"),
        ("rom", "DHE-RSA-AES256-GCM-SHA384", V12, V12, "TLSv1.2 DHE-RSA-AES256-GCM-SHA384"),
        ("rom", "DHE-RSA-AES256-SHA256", V12, V12, "TLSv1.2 DHE-RSA-AES256-SHA256"),
        ("rom", "AES256-SHA256", V12, V12, "TLSv1.2 AES256-SHA256"),
        ("rom", "ALL", V12, V13, "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384"),
        ("rom", "AES256-SHA", V12, V12, NONE),
        ("rom", "AES128-SHA256", V12, V12, NONE),
        ("rom", "aNULL", V12, V12, NONE),
        ("rom", "ALL", V11, V11, NONE),
        ("linux", "ALL", V12, V13, "TLSv1.3 TLS_AES_256_GCM_SHA384"),
        ("linux", "ECDHE-RSA-AES256-GCM-SHA384", V12, V12, "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384"),
        ("linux", "DHE-RSA-AES256-GCM-SHA384", V12, V12, NONE),
        ("linux", "DHE-RSA-AES256-SHA256", V12, V12, NONE),
        ("linux", "AES256-SHA256", V12, V12, NONE),
        ("linux", "ALL", V11, V11, NONE),
    ],
)
def test_each_listener_speaks_what_its_clients_need_and_no_more(
    listeners: Listeners, listener: str, ciphers: str, oldest: ssl.TLSVersion, newest: ssl.TLSVersion, expected: str
) -> None:
    assert listeners.shake(listener, ciphers, oldest=oldest, newest=newest) == expected


def test_the_root_is_in_the_chain_of_the_rom_listener(listeners: Listeners) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(listeners.address("rom"), timeout=30) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        # Public from Python 3.13 on, there as get_unverified_chain.
        chain = wrapped._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    assert len(chain) == 2 and chain[-1].get_info()["subject"] == chain[-1].get_info()["issuer"]


def test_each_listener_is_trusted_by_its_own_authority_alone(listeners: Listeners) -> None:
    for listener, other in (("rom", "linux"), ("linux", "rom")):
        context = ssl.create_default_context(cafile=authorities.trust(listeners.folder, other))
        with (
            socket.create_connection(listeners.address(listener), timeout=30) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize(
    ("listener", "path", "status"),
    [
        ("rom", "/_ah/health", 200),
        ("rom", "/admin/v1/hosts", 404),
        ("rom", "/metrics", 404),
        ("linux", "/_ah/health", 200),
        ("linux", "/admin/v1/hosts", 401),
        ("linux", "/metrics", 404),
    ],
)
def test_each_listener_serves_its_own_paths(listeners: Listeners, listener: str, path: str, status: int) -> None:
    context = ssl.create_default_context(cafile=authorities.trust(listeners.folder, listener))
    with (
        socket.create_connection(listeners.address(listener), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        assert int(wrapped.recv(64).split()[1]) == status


def test_without_old_suites_the_oldest_rom_gets_no_handshake(tmp_path: Path) -> None:
    service = epoxy_service.Service(tmp_path, *options(tmp_path, "--rom-no-old-suites")).start()
    try:
        here = Listeners(service, tmp_path)
        assert here.shake("rom", "DHE-RSA-AES256-SHA256", oldest=V12, newest=V12) == NONE
        assert here.shake("rom", "ALL", oldest=V12, newest=V12) == "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384"
    finally:
        service.kill()


def test_a_new_certificate_is_taken_up_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = authorities.serve(tmp_path, "rom", "rom", days=30)
    identity = tls.rom(tls.Files(path, path.with_suffix(".key")), old_suites=True)
    first = identity.not_after_s
    path.write_bytes(b"broken")
    identity.refresh()
    assert (identity.not_after_s, identity.failures) == (first, 1)
    authorities.serve(tmp_path, "rom", "rom", days=60)
    identity.refresh()
    assert (identity.not_after_s > first, identity.failures) == (True, 1)


def test_stage1_may_need_a_certificate_of_the_very_host(tmp_path: Path) -> None:
    clients = authorities.trust(tmp_path, "clients")
    service = epoxy_service.Service(tmp_path, *options(tmp_path, "--client-ca", str(clients))).start()
    try:
        here, host = Listeners(service, tmp_path), "mlab1-own01.test"
        service.create(epoxy_service.record(host, IPv4Addr="127.0.0.1"))
        chains = {
            "own": authorities.serve(tmp_path, "own", "clients", names=(host,)),
            "other": authorities.serve(tmp_path, "other", "clients", names=("mlab2-own01.test",)),
            "foreign": authorities.serve(tmp_path, "foreign", "nobody", names=(host,)),
            "none": None,
        }
        found = {name: here.post("rom", f"/v1/boot/{host}/stage1.ipxe", chain) for name, chain in chains.items()}
        assert found == {"own": 200, "other": 403, "foreign": None, "none": 403}
        assert here.post("linux", f"/v1/boot/{host}/stage1.json", chains["own"]) == 200
        assert service.call("POST", f"/v1/boot/{host}/stage1.ipxe", token=None).status_code == 403, "without TLS"
        text = service.call("GET", "/metrics", token=None).text
        assert 'epoxy_refused_total{reason="certificate",route="stage1.ipxe"} 3.0' in text
    finally:
        service.kill()


def test_who_begins_no_handshake_is_cut_and_a_failed_one_is_no_trace_in_the_log(tmp_path: Path) -> None:
    service = epoxy_service.Service(tmp_path, *options(tmp_path, "--head-seconds=10")).start()
    try:
        here = Listeners(service, tmp_path)
        silent = [socket.create_connection(here.address(name), timeout=120) for name in ("rom", "linux") * 50]
        assert here.shake("rom", "aNULL", oldest=V12, newest=V12) == NONE
        with socket.create_connection(here.address("rom"), timeout=30) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert not plain.recv(100).startswith(b"HTTP")
        for connection in silent:
            assert connection.recv(1) == b"", "closed by the server"
            connection.close()
        assert here.shake("rom", "ALL", oldest=V12, newest=V12).startswith("TLSv1.2")
        distrustful = ssl.create_default_context()
        with (
            pytest.raises(ssl.SSLCertVerificationError),
            socket.create_connection(here.address("rom"), timeout=30) as plain,
        ):
            distrustful.wrap_socket(plain, server_hostname="localhost")
        with socket.create_connection(here.address("linux"), timeout=30) as plain:
            plain.sendall(b"\x16\x03\x01")
            plain.shutdown(socket.SHUT_WR)
            assert plain.recv(1) == b""
        with socket.create_connection(here.address("linux"), timeout=30) as plain:
            plain.sendall(b"\x16\x03\x01")
            # Closing resets the connection, as firmware does that does not trust who answers.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wanted = {
            ("rom", "no_shared_cipher"): 1,
            ("rom", "http_request"): 1,
            ("rom", "slow"): 50,
            ("linux", "slow"): 50,
            ("rom", "tlsv1_alert_unknown_ca"): 1,
            ("linux", "ended"): 2,
        }
        waiting.until(lambda: failed(service) == wanted, f"the failures are {wanted}", told=lambda: failed(service))
        assert "epoxy_tls_connections_total{" in service.call("GET", "/metrics", token=None).text
    finally:
        service.stop()
    assert "Traceback" not in service.log.read_text()


def failed(service: Service) -> dict[tuple[str, str], int]:
    """Handshakes that came to nothing, by listener and reason."""
    text = service.call("GET", "/metrics", token=None).text
    found = re.findall(
        r'^epoxy_tls_handshakes_failed_total\{listener="(\w+)",reason="(\w+)"\} (\S+)$', text, re.MULTILINE
    )
    return {(listener, why): int(float(count)) for listener, why, count in found}


def test_a_request_is_logged_with_its_listener_and_what_was_agreed(listeners: Listeners) -> None:
    for name in ("rom", "linux"):
        assert listeners.post(name, f"/v1/boot/nobody-{name}/stage1.ipxe", None) == 404

    def lines() -> list[dict[str, str]]:
        return [json.loads(line) for line in listeners.service.log.read_text().splitlines() if "nobody-" in line]

    waiting.until(lambda: len(lines()) == 2, "the line follows the answer", told=lines)
    assert {(line["listener"], line["tls"]) for line in lines()} == {
        ("rom", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384"),
        ("linux", "TLSv1.3 TLS_AES_256_GCM_SHA384"),
    }
    text = listeners.service.call("GET", "/metrics", token=None).text
    for line in lines():
        version, cipher = line["tls"].split()
        labels = f'cipher="{cipher}",listener="{line["listener"]}",version="{version}"'
        assert f"epoxy_tls_connections_total{{{labels}}}" in text


def test_a_service_takes_a_new_certificate_up_without_a_restart(listeners: Listeners) -> None:
    def days() -> float:
        text = listeners.service.call("GET", "/metrics", token=None).text
        line = next(
            line
            for line in text.splitlines()
            if line.startswith('epoxy_certificate_not_after_seconds{listener="linux"')
        )
        return float(line.rsplit(" ", 1)[1])

    before = days()
    authorities.serve(listeners.folder, "linux", "linux", days=90)
    waiting.until(lambda: days() > before, "the new certificate is served", told=days)
    shown = listeners.shake("linux", "ALL", oldest=V12, newest=V13)
    assert shown.startswith("TLSv1.3")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"with_root": False}, "must be the root"),
        ({"curve": True}, "RSA"),
    ],
)
def test_what_firmware_could_not_use_is_refused_at_the_start(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = authorities.serve(tmp_path, "rom", "rom", **change)
    with pytest.raises(ValueError, match=said):
        tls.rom(tls.Files(path, path.with_suffix(".key")), old_suites=True)
