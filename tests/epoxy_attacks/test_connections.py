"""Floods, slowness, and bytes that are no request: connections are cut, and nobody else waits."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests import epoxy_service, waiting
from tests.epoxy import machine
from tests.epoxy_service import Service


def test_ten_thousand_stage1_calls_for_one_host_begin_twenty_boots(service: Service) -> None:
    host = machine.made(service)
    with requests.Session() as session:
        session.trust_env = False
        session.headers["X-Forwarded-For"] = host.address
        url = service.url + host.path("stage1.ipxe")
        first = [session.post(url, timeout=30).status_code for _ in range(60)]
    request = (
        f"POST {host.path('stage1.ipxe')} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {host.address}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()
    address, port = service.address.split(":")

    def many(count: int) -> int:
        """Requests one after the other on a connection, sent in one go."""
        with socket.create_connection((address, int(port)), timeout=60) as connection:
            found = 0
            for _ in range(count // 50):
                connection.sendall(request * 50)
                answered, seen = 0, b""
                while answered < 50:
                    seen += connection.recv(65536)
                    answered = seen.count(b"HTTP/1.1 ")
                while not seen.endswith(b"Too many stage1 requests\n"):
                    seen += connection.recv(65536)
                found += seen.count(b"HTTP/1.1 429")
            return found

    with ThreadPoolExecutor(2) as pool:
        refused = sum(pool.map(many, [4950, 4950]))
    assert first.count(200) == 20 and first[20:] == [429] * 40
    assert refused == 9900
    boots = service.call("GET", f"/admin/v1/hosts/{host.name}/history").json()["boots"]
    assert len(boots) == 20
    other = machine.made(service)
    assert other.stage1().status_code == 200, "another host boots meanwhile"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"POST /v1/boot/a/stage1.ipxe HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 20_000, "large-head"),
        (b"POST /" + b"a" * 20_000, "malformed"),
        (b"".join(b"X%d: a\r\n" % n for n in range(100)).join([b"GET / HTTP/1.1\r\n", b"\r\n"]), "malformed"),
        (b"nonsense\r\n\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "malformed"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", "malformed"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", "malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "malformed"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_request_is_cut_and_counted(service: Service, sent: bytes, reason: str) -> None:
    before = _cut(service).get(reason, 0)
    address, port = service.address.split(":")
    with socket.create_connection((address, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        try:
            answer = connection.recv(100)
        except ConnectionResetError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer
    waiting.until(
        lambda: _cut(service).get(reason, 0) == before + 1, f"{reason} is counted", told=lambda: _cut(service)
    )


def _cut(service: Service) -> dict[str, float]:
    text = service.call("GET", "/metrics", token=None).text
    return {
        reason: float(value)
        for reason, value in re.findall(r'^epoxy_connections_cut_total\{reason="([^"]+)"\} (\S+)$', text, re.MULTILINE)
    }


def test_slow_heads_and_bodies_end_and_hold_nobody_up(tmp_path: Path) -> None:
    service = epoxy_service.Service(tmp_path, *machine.PROXY, "--head-seconds=3", "--body-seconds=5").start()
    try:
        _slowly(service, machine.made(service))
    finally:
        service.kill()


def _slowly(service: Service, host: machine.Machine) -> None:
    address, port = service.address.split(":")
    head = f"POST {host.path('stage1.ipxe')} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n".encode()
    slow: list[socket.socket] = []
    try:
        for number in range(200):
            slow.append(socket.create_connection((address, int(port)), timeout=60))
            slow[-1].sendall(head if number % 2 else head + b"\r\nabc")
        assert host.stage1().status_code == 200, "while they all hold their connections"
        waiting.until(lambda: _cut(service).get("slow-head") == 100, "the heads are cut", told=lambda: _cut(service))
        waiting.until(lambda: _cut(service).get("slow-body") == 100, "the bodies are cut", told=lambda: _cut(service))
    finally:
        for connection in slow:
            connection.close()
