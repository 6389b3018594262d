"""Paths, names and methods as no client of ours would write them."""

from __future__ import annotations

import pytest

from tests.epoxy_attacks.scene import OPERATION, Row, Scene, expect_refused, path
from tests.epoxy_service import Service

LONG = "a" * 400
ROWS: dict[str, Row] = {
    "an id that is a prefix": (path("/v1/boot/HOST/AQ/stage3"), 403, "id"),
    "an id with a trailing byte": (path("/v1/boot/HOST/IDx/report"), 403, "id"),
    "an id of NUL bytes": (path("/v1/boot/HOST/%00%00/stage3"), 403, "id"),
    "an id that is no UTF-8": (path("/v1/boot/HOST/%ff%fe/stage3"), 403, "id"),
    "an over-long id": (path(f"/v1/boot/HOST/{LONG}/stage3"), 403, "id"),
    "SQL as an id": (path("/v1/boot/HOST/'%20OR%201=1--/stage3"), 403, "id"),
    "SQL as a host": (path("/v1/boot/x'%20OR%20'1'='1/stage1.ipxe"), 404, "host-name"),
    "an over-long host": (path(f"/v1/boot/{LONG}/stage1.ipxe"), 404, "host-name"),
    "a host outside of ASCII": (path("/v1/boot/m%C3%BCnchen.test/stage1.ipxe"), 404, "host-name"),
    "a host with a line break": (path("/v1/boot/a%0aset%20x/stage1.ipxe"), 404, "host-name"),
    "a host in capitals": (path("/v1/boot/MLAB1-ABC01.TEST/stage1.ipxe"), 404, "host-unknown"),
    "iPXE settings as a host": (path("/v1/boot/$%7Bnet0%2fmac%7D/stage1.ipxe"), 404, "http-404"),
    "an encoded slash in a host": (path("/v1/boot/a%2fb/stage1.ipxe"), 404, "http-404"),
    "two slashes": (path("/v1/boot//HOST/stage1.ipxe"), 404, "http-404"),
    "a way upwards to another host": (path("/v1/boot/a/../HOST/stage1.ipxe"), 404, "http-404"),
    "a way upwards out of storage": (path("/v1/storage/../../../secret", "GET"), 404, "path"),
    "an encoded way upwards": (path("/v1/storage/%2e%2e/secret", "GET"), 404, "path"),
    "an encoded slash upwards": (path("/v1/storage/..%2fsecret", "GET"), 404, "path"),
    "a backslash upwards": (path("/v1/storage/..%5csecret", "GET"), 404, "path"),
    "an absolute path in storage": (path("/v1/storage//etc/passwd", "GET"), 404, "path"),
    "another host in storage": (path("/v1/storage/@evil.test/x", "GET"), 404, "path"),
    "media of no host": (path("/v1/media/nobody.test/snponly.efi", "GET"), 404, "host-unknown"),
    "an operation that nobody offers": (path("/v1/boot/HOST/ID/extension/shell"), 403, "id"),
    "an operation with a way upwards": (path("/v1/boot/HOST/ID/extension/..%2fadmin"), 404, "http-404"),
    "an operation with a query inside": (path("/v1/boot/HOST/ID/extension/a%3fb"), 403, "id"),
    "an over-long operation": (path(f"/v1/boot/HOST/ID/extension/{LONG}"), 403, "id"),
    "GET of a token": (path(f"/v1/boot/HOST/ID/extension/{OPERATION}", "GET"), 405, "http-405"),
    "the boot protocol without a record": (path("/v1/boot/nobody.test/ID/report"), 404, "host-unknown"),
}


@pytest.mark.parametrize("row", ROWS)
def test_an_odd_path_is_refused_counted_and_logged_without_a_secret(service: Service, scene: Scene, row: str) -> None:
    expect_refused(service, scene, ROWS[row])
