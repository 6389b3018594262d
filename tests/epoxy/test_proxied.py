"""The PROXY protocol before TLS: whom a trusted proxy names is the caller, and nobody else can name anyone."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.epoxy import proxied
from tests import epoxy_service
from tests.epoxy import authorities
from tests.epoxy.test_tls import options
from tests.epoxy_service import Service, name, record

HOST4, HOST6 = "198.18.7.5", "2001:db8:7::5"
V1 = b"PROXY TCP4 198.18.7.5 198.18.0.1 40001 443\r\n"
V1_6 = b"PROXY TCP6 2001:db8:7::5 2001:db8::1 40001 443\r\n"


def version_2(source: str, *, command: int = 0x21, more: bytes = b"") -> bytes:
    """A header of the binary form. `more`: additional fields, which this server does not read."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    addresses = socket.inet_pton(family, source) + bytes(16 if ":" in source else 4) + struct.pack("!HH", 40001, 443)
    kind = 0x21 if ":" in source else 0x11
    body = addresses + more
    return proxied.SIGNATURE + struct.pack("!BBH", command, kind, len(body)) + body


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (V1, (HOST4, 40001)),
        (V1_6, (HOST6, 40001)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ::2 1 2\r\n", None),
        (version_2(HOST4), (HOST4, 40001)),
        (version_2(HOST6), (HOST6, 40001)),
        (version_2(HOST6, more=b"\x03\0\4abcd"), (HOST6, 40001)),
        (version_2(HOST4, command=0x20), None),
        (proxied.SIGNATURE + b"\x21\0\0\0", None),
    ],
)
def test_a_header_names_the_client_and_ends_before_its_first_byte(header: bytes, client: object) -> None:
    for rest in (b"", b"\x16\x03\x01", b"\r\n"):
        assert proxied.parse(header + rest) == (len(header), client)


BROKEN = {
    "nothing": b"",
    "tls": b"\x16\x03\x01\x02\0\x01",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "cut line": V1[:-1],
    "a line that is too long": b"PROXY UNKNOWN " + b"x" * 94 + b"\r\n",
    "no port": b"PROXY TCP4 198.18.7.5 198.18.0.1 40001\r\n",
    "a port too high": V1.replace(b"40001", b"65536"),
    "no number": V1.replace(b"40001", "４".encode()),
    "no address": V1.replace(b"198.18.7.5", b"198.18.7.256"),
    "the other family": V1.replace(b"TCP4", b"TCP6"),
    "another protocol": V1.replace(b"TCP4", b"UDP4"),
    "cut": version_2(HOST4)[:-1],
    "another version": version_2(HOST4, command=0x31),
    "short addresses": proxied.SIGNATURE + b"\x21\x21\0\4abcd",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_no_header_is_none(data: bytes) -> None:
    with pytest.raises(proxied.NoHeader):
        proxied.parse(data)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda tail: proxied.SIGNATURE + tail)))
def test_no_bytes_end_in_anything_else(data: bytes) -> None:
    try:
        length, _ = proxied.parse(data)
    except proxied.NoHeader:
        return
    assert 0 < length <= len(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxied")


@pytest.fixture(scope="module")
def behind(folder: Path) -> Iterator[Service]:
    """Behind a proxy at 127.0.0.9, with a host for each family."""
    words = options(folder, "--trusted-proxies=127.0.0.9/32", "--proxy-protocol")
    made = epoxy_service.Service(folder, *words).start()
    made.create({**record(name(1, "prx01")), "IPv4Addr": HOST4})
    made.create({**record(name(2, "prx01")), "IPv4Addr": "198.18.7.6", "Callers": [HOST6]})
    yield made
    made.kill()


def stage1(behind: Service, folder: Path, host: str, header: bytes, source: str, *, forwarded: str = "") -> int | None:
    """The status of a machine's first request; None: the connection ended."""
    context = ssl.create_default_context(cafile=authorities.trust(folder, "rom"))
    address, _, port = behind.rom_address.rpartition(":")
    asked = f"POST /v1/boot/{host}/stage1.ipxe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{forwarded}\r\n"
    try:
        with socket.create_connection((address, int(port)), 30, source_address=(source, 0)) as plain:
            plain.sendall(header)
            with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                wrapped.sendall(asked.encode())
                answer = wrapped.recv(64)
                return int(answer.split()[1]) if answer else None
    except (ssl.SSLError, ConnectionError):
        return None


PROXY, OTHER = "127.0.0.9", "127.0.0.8"


@pytest.mark.parametrize(
    ("machine", "header", "source", "status"),
    [
        (1, V1, PROXY, 200),
        (1, version_2(HOST4), PROXY, 200),
        (2, V1_6, PROXY, 200),
        (2, version_2(HOST6), PROXY, 200),
        (1, version_2(HOST6), PROXY, 403),
        (2, V1, PROXY, 403),
        # For itself, as for a check of its own: it is no machine.
        (1, version_2(HOST4, command=0x20), PROXY, 403),
        # The same bytes of anybody else are no TLS.
        (1, V1, OTHER, None),
        (1, version_2(HOST4), OTHER, None),
    ],
)
def test_the_caller_is_whom_the_trusted_proxy_names(
    behind: Service, folder: Path, machine: int, header: bytes, source: str, status: int | None
) -> None:
    assert stage1(behind, folder, name(machine, "prx01"), header, source) == status


def test_a_client_behind_the_proxy_cannot_pass_for_another_one(behind: Service, folder: Path) -> None:
    forged = f"X-Forwarded-For: {HOST4}\r\n"
    assert stage1(behind, folder, name(1, "prx01"), version_2("198.18.7.9"), PROXY, forwarded=forged) == 403


@pytest.mark.parametrize("data", [b"", V1[:-1], proxied.SIGNATURE + bytes(4)], ids=["none", "cut line", "no version"])
def test_a_proxy_that_does_not_say_for_whom_is_cut_and_counted(behind: Service, folder: Path, data: bytes) -> None:
    def counted() -> float:
        text = behind.call("GET", "/metrics", token=None).text
        lines = [line for line in text.splitlines() if 'connections_cut_total{reason="no-proxy-header"}' in line]
        return float(lines[0].split()[1]) if lines else 0.0

    before = counted()
    assert stage1(behind, folder, name(1, "prx01"), data, PROXY) is None
    assert counted() == before + 1
    assert stage1(behind, folder, name(1, "prx01"), V1, PROXY) == 200


def test_a_connection_without_a_header_still_serves_who_is_no_proxy(behind: Service, folder: Path) -> None:
    assert stage1(behind, folder, name(1, "prx01"), b"", OTHER) == 403
