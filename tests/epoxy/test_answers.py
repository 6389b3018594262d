"""Every status of the administration API, over loopback, from the real process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.epoxy_service import READ_TOKEN, Service, name, record

HOSTS = "/admin/v1/hosts"
HERE = f"{HOSTS}/{name(1, 'abc01')}"
CREATE = {"If-None-Match": "*"}
LOCK = {"identity": "run-1", "actor": "ci", "run_url": "", "started": "2026-01-01T00:00:00Z", "ttl_s": 60}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code", "field"),
    [
        ("GET", HOSTS, {"token": None}, 401, "auth.token", None),
        ("GET", HOSTS, {"token": "wrong-token-of-good-length"}, 401, "auth.token", None),
        ("GET", HOSTS, {"token": ""}, 401, "auth.token", None),
        ("GET", HOSTS, {"token": None, "headers": {"Authorization": "Basic YWJjOmRlZg=="}}, 401, "auth.token", None),
        ("GET", "/admin/v1/nothing", {"token": None}, 401, "auth.token", None),
        ("PUT", HERE, {"token": READ_TOKEN, "json": {}, "headers": CREATE}, 403, "auth.read-only", None),
        ("DELETE", HERE, {"token": READ_TOKEN, "headers": {"If-Match": '"1"'}}, 403, "auth.read-only", None),
        ("PUT", "/admin/v1/locks/sandbox/epoxy", {"token": READ_TOKEN, "json": LOCK}, 403, "auth.read-only", None),
        ("GET", HERE, {}, 404, "host.absent", None),
        ("DELETE", HERE, {"headers": {"If-Match": '"1"'}}, 404, "host.absent", None),
        ("GET", "/admin/v1/nothing", {}, 404, "path.unknown", None),
        ("GET", f"{HOSTS}/", {}, 404, "path.unknown", None),
        ("GET", "/", {}, 404, "path.unknown", None),
        ("GET", "/admin/v1/locks/sandbox/never", {}, 404, "lock.absent", None),
        ("DELETE", "/admin/v1/locks/sandbox/never?identity=a", {}, 404, "lock.absent", None),
        ("PATCH", "/admin/v1/locks/sandbox/never", {"json": {"identity": "a", "ttl_s": 1}}, 404, "lock.absent", None),
        ("POST", HOSTS, {}, 405, "method.unknown", None),
        ("PATCH", HERE, {"json": {}}, 405, "method.unknown", None),
        ("PUT", HERE, {"json": record(name(1, "abc01"))}, 428, "precondition.missing", "If-Match"),
        ("DELETE", HERE, {}, 428, "precondition.missing", "If-Match"),
        ("DELETE", HERE, {"headers": {"If-Match": "*"}}, 428, "precondition.missing", "If-Match"),
        (
            "PUT",
            HERE,
            {"json": record(name(1, "abc01")), "headers": {"If-Match": '"7"'}},
            412,
            "host.moved",
            "If-Match",
        ),
        ("PUT", HERE, {"headers": {"If-Match": "7"}}, 422, "precondition.invalid", "If-Match"),
        ("PUT", HERE, {"headers": {"If-Match": 'W/"7"'}}, 422, "precondition.invalid", "If-Match"),
        ("PUT", HERE, {"headers": {"If-None-Match": '"7"'}}, 422, "precondition.invalid", "If-None-Match"),
        ("DELETE", HERE, {"headers": CREATE}, 422, "precondition.invalid", "If-None-Match"),
        ("PUT", HERE, {"data": b"{" + b" " * 70_000, "headers": CREATE}, 413, "body.too-large", None),
        ("PUT", HERE, {"data": (b" " * 9_000 for _ in range(9)), "headers": CREATE}, 413, "body.too-large", None),
        ("PUT", HERE, {"data": b"", "headers": CREATE}, 400, "body.json", None),
        ("PUT", HERE, {"data": b'{"Name": ', "headers": CREATE}, 400, "body.json", None),
        ("PUT", HERE, {"data": b"[" * 60_000, "headers": CREATE}, 400, "body.json", None),
        ("PUT", HERE, {"data": b"\xff\xfe", "headers": CREATE}, 400, "body.json", None),
        ("PUT", HERE, {"data": b'{"Name": NaN}', "headers": CREATE}, 400, "body.json", None),
        ("PUT", HERE, {"data": b'{"Name": "a", "Name": "b"}', "headers": CREATE}, 400, "body.json", None),
        ("PUT", HERE, {"data": b"9" * 9_000, "headers": CREATE}, 400, "body.json", None),
        ("PUT", HERE, {"data": b"[]", "headers": CREATE}, 422, "field.invalid", "body"),
        ("PUT", f"{HOSTS}/mlab1", {"headers": CREATE}, 422, "field.invalid", "Name"),
        ("GET", f"{HOSTS}?limit=0", {}, 422, "field.invalid", "limit"),
        ("GET", f"{HOSTS}?limit=1001", {}, 422, "field.invalid", "limit"),
        ("GET", f"{HOSTS}?limit=ten", {}, 422, "field.invalid", "limit"),
        ("PUT", "/admin/v1/locks/sandbox/x", {"json": {**LOCK, "ttl_s": 0}}, 422, "field.invalid", "ttl_s"),
        ("PUT", "/admin/v1/locks/sandbox/x", {"json": {**LOCK, "ttl_s": True}}, 422, "field.invalid", "ttl_s"),
        ("PUT", "/admin/v1/locks/sandbox/x", {"json": {**LOCK, "identity": "a b"}}, 422, "field.invalid", "identity"),
        ("PUT", "/admin/v1/locks/sandbox/x", {"json": {**LOCK, "actor": "a\nb"}}, 422, "field.invalid", "actor"),
        ("PUT", "/admin/v1/locks/sandbox/x", {"json": {**LOCK, "more": 1}}, 422, "field.invalid", "more"),
        ("PUT", "/admin/v1/locks/Sandbox", {"json": LOCK}, 422, "field.invalid", "scope"),
        ("DELETE", "/admin/v1/locks/sandbox/x", {}, 422, "field.invalid", "identity"),
    ],
)
def test_each_refusal_is_one_json_error(
    shared: Service, method: str, path: str, sent: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    answer = shared.call(method, path, **sent)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"]
    error = answer.json()["error"]
    assert list(error) == ["code", "message", "field"]
    assert (error["code"], error["field"]) == (code, field)
    assert "\n" not in error["message"] and len(error["message"]) < 512
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


BOOT = record()["Boot"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"Name": name(2, "abc02")}, "Name"),
        ({"Name": None}, "Name"),
        ({"IPv4Addr": "198.18.5.256"}, "IPv4Addr"),
        ({"IPv4Addr": "198.18.005.1"}, "IPv4Addr"),
        ({"IPv4Addr": "2001:db8::1"}, "IPv4Addr"),
        ({"IPv4Addr": "198.18.5.1/26"}, "IPv4Addr"),
        ({"IPv4Addr": 3323068417}, "IPv4Addr"),
        ({"Boot": {}}, "Boot.stage1.ipxe"),
        ({"Boot": None}, "Boot"),
        ({"Boot": {**BOOT, "stage4": BOOT["stage3"]}}, "Boot.stage4"),
        ({"Update": {key: BOOT[key] for key in list(BOOT)[:3]}}, "Update.stage3"),
        ({"Boot": {**BOOT, "stage2": "ftp://images.test/a"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "/relative/a"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "https:///a"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "https://images.test:99999/a"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "https://images.test/a b"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "https://images.test/a\n"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "https://images.test/${net0/mac}"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "https://images.test/{{OTHER}}"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "https://user:word@images.test/a"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "https://images.test/ü"}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": "https://images.test/" + "a" * 1024}}, "Boot.stage2"),
        ({"Boot": {**BOOT, "stage2": 5}}, "Boot.stage2"),
        ({"ImagesVersion": ""}, "ImagesVersion"),
        ({"ImagesVersion": "../v1"}, "ImagesVersion"),
        ({"ImagesVersion": "v1/2"}, "ImagesVersion"),
        ({"Extensions": "allocate_k8s_token"}, "Extensions"),
        ({"Extensions": ["Allocate"]}, "Extensions.0"),
        ({"Extensions": ["ok", "a-b"]}, "Extensions.1"),
        ({"Extensions": ["a" * 41]}, "Extensions.0"),
        ({"Extensions": ["twice", "twice"]}, "Extensions"),
        ({"Extensions": [f"e{i}" for i in range(17)]}, "Extensions"),
        ({"Retired": "no"}, "Retired"),
        ({"Retired": 1}, "Retired"),
        ({"Protect": None}, "Protect"),
        ({"Owner": "mlab"}, "Owner"),
        ({"Owner": {"owner": "mlab"}}, "Owner.env"),
        ({"Owner": {"owner": "", "env": "e", "scope": "s", "source": "", "commit": ""}}, "Owner.owner"),
        ({"UpdateEnabled": True}, "UpdateEnabled"),
        ({"LastSuccess": "2026-01-01T00:00:00Z"}, "LastSuccess"),
        ({"CurrentSessionIDs": {}}, "CurrentSessionIDs"),
        ({"Colour": "blue"}, "Colour"),
    ],
)
def test_a_record_with_one_wrong_field_is_refused_by_that_field(
    shared: Service, change: dict[str, Any], field: str
) -> None:
    answer = shared.call("PUT", HERE, json={**record(name(1, "abc01")), **change}, headers=CREATE)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["field"] == field
    assert shared.call("GET", HERE).status_code == 404


@pytest.mark.parametrize("missing", list(record()))
def test_no_field_may_be_left_out(shared: Service, missing: str) -> None:
    body = record(name(1, "abc01"))
    del body[missing]
    answer = shared.call("PUT", HERE, json=body, headers=CREATE)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, missing)


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("a.b", True),
        (f"{'a' * 63}.test", True),
        (f"{'a' * 64}.test", False),
        (".".join(["a" * 62] * 4) + ".b", True),  # 253 characters
        (".".join(["a" * 62] * 4) + ".bc", False),  # 254
        ("-a.test", False),
        ("a-.test", False),
        ("a_b.test", False),
        ("A.test", False),
        ("a..test", False),
        ("a.test.", False),
        ("é.test", False),
    ],
)
def test_a_host_name_is_fully_qualified_and_within_the_limits_of_dns(shared: Service, host: str, good: bool) -> None:
    answer = shared.call("PUT", f"{HOSTS}/{host}", json=record(host), headers=CREATE)
    assert answer.status_code == (201 if good else 422), answer.text
