"""Bodies that are too large, or end too early."""

from __future__ import annotations

import socket

import pytest

from tests import waiting
from tests.epoxy_attacks.scene import OPERATION, Row, Scene, at, expect_refused, path, record, refused
from tests.epoxy_service import Service

ROWS: dict[str, Row] = {
    "a declared body of 1 GB": (
        path("/v1/boot/HOST/stage1.ipxe", headers={"Content-Length": str(10**9)}),
        413,
        "body.too-large",
    ),
    "a body of 300 KB": (
        lambda s: s.host.call(s.host.path("stage1.ipxe"), data=b"a=" + b"b" * 300_000),
        413,
        "body.too-large",
    ),
    "a chunked body of 300 KB": (
        lambda s: s.host.call(s.host.path("stage1.ipxe"), data=(b"c" * 30_000 for _ in range(10))),
        413,
        "body.too-large",
    ),
    "a report of 300 KB": (at("report", data=b"message=" + b"b" * 300_000), 413, "body.too-large"),
    "an extension's body of 70 KB": (at(OPERATION, data=b"b" * 70_000), 413, "body.too-large"),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_large_body_is_refused_counted_and_logged_without_a_secret(service: Service, scene: Scene, row: str) -> None:
    expect_refused(service, scene, ROWS[row])


def test_a_report_whose_upload_ends_early_is_no_report(service: Service, scene: Scene) -> None:
    before = record(scene.host)
    address, port = service.address.split(":")
    with socket.create_connection((address, int(port)), timeout=30) as connection:
        connection.sendall(
            f"POST {scene.host.urls['report']} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {scene.host.address}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nmessage=success".encode()
        )
    waiting.until(lambda: refused(service).get("body.incomplete", 0) >= 1, "an incomplete body is counted")
    assert record(scene.host) == before
    assert scene.host.report().status_code == 204
