"""The administrator's verbs about boots, over HTTP and at a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from services.epoxy import command
from tests import epoxy_service
from tests.epoxy import machine
from tests.epoxy_service import READ_TOKEN, ROOT, Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = epoxy_service.Service(tmp_path_factory.mktemp("admin"), *machine.PROXY, "--stage1-limit", "3").start()
    yield made
    made.kill()


@pytest.fixture
def host(service: Service) -> machine.Machine:
    return machine.made(service)


def run(service: Service, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any, str]:
    """Status, result and error of one call."""
    options = ["--url", f"{service.url}/admin/v1", "--token-file", str(service.admin_token_file)]
    status = command.main([*options, *words])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


def test_an_order_changes_one_boot(host: machine.Machine, capsys: pytest.CaptureFixture[str]) -> None:
    status, told, _ = run(host.service, "set-next-boot", host.name, "update", "--version", "v9", capsys=capsys)
    assert (status, told["observed"]["NextBoot"]["sequence"]) == (command.DONE, "update")
    host.boot()
    assert "/v9/stage3_update/" in host.urls["stage1chain"]
    host.boot()
    assert "/v2.1.10/stage3_ubuntu/" in host.urls["stage1chain"]
    run(host.service, "set-next-boot", host.name, "update", capsys=capsys)
    status, told, _ = run(host.service, "set-next-boot", host.name, "none", capsys=capsys)
    assert (status, told["observed"]["NextBoot"]) == (command.DONE, None)


def test_explain_says_what_became_of_an_order(host: machine.Machine, capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> Any:
        told = run(host.service, "explain", host.name, capsys=capsys)[1]["next_boot"]
        return None if told is None else told["state"].partition(":")[0]

    assert state() is None
    host.boot()
    run(host.service, "set-next-boot", host.name, "update", capsys=capsys)
    assert state() == "waiting"
    host.stage1()
    assert state() == "pending", "the answer may have been lost"
    assert "/stage3_update/" in host.urls["stage1chain"]
    host.stage1()
    assert state() == "pending" and "/stage3_update/" in host.urls["stage1chain"]
    host.ask("stage2")
    assert state() is None


def test_the_update_flag_stands_until_the_update_succeeds(
    host: machine.Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    run(host.service, "set-next-boot", host.name, "update", "--until-success", capsys=capsys)
    host.stage1()
    host.ask("stage2")
    host.ask("stage3")
    host.report("error: no flash")
    assert run(host.service, "get", host.name, capsys=capsys)[1]["observed"]["UpdateEnabled"] is True
    host.boot()
    assert "/stage3_update/" in host.urls["stage1chain"]
    assert run(host.service, "get", host.name, capsys=capsys)[1]["observed"]["UpdateEnabled"] is False


def test_history_has_each_boot_with_its_stages_and_no_secret(
    host: machine.Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    host.stage1()
    ids = [url.split("/")[4] for key, url in host.urls.items() if key != "stage1chain"]
    host.report(f"error: GET {host.urls['stage2']}", boot_id="d9b2d63d-a233-4123-847a-7fa1f1a1b1c1")
    host.stage1()
    host.ask("stage2")
    host.ask("stage3")
    host.report(**{"stage.times": '{"download": 3.5}', "log.tail": "one\ntwo"})
    status, told, _ = run(host.service, "history", host.name, capsys=capsys)
    new, old = told["boots"]
    assert status == command.DONE
    assert (new["number"], new["outcome"], old["outcome"]) == (2, "success", "superseded")
    assert list(new["seconds"]) == ["stage1", "stage2", "stage3", "done"]
    assert sorted(new["seconds"].values()) == list(new["seconds"].values())
    assert old["reports"][0]["message"] == f"error: GET /v1/boot/{host.name}/[removed]/stage2"
    assert old["reports"][0]["boot_id"] == "d9b2d63d-a233-4123-847a-7fa1f1a1b1c1"
    assert (new["reports"][0]["stage.times"], new["reports"][0]["log.tail"]) == ('{"download": 3.5}', "one\ntwo")
    assert not [identity for identity in ids if identity in json.dumps(told)]


def test_explain_says_what_would_happen_now(host: machine.Machine, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(host.service, "explain", host.name, capsys=capsys)[1]
    assert told["stage1"] == {"status": 200, "why": "the normal sequence"}
    assert told["operations"]["not_offered_by_this_server"] == ["allocate_k8s_token", "bmc_store_password"]
    assert (told["sequence"], told["latest_boot"]) == ("boot", None)
    told = run(host.service, "explain", host.name, "--address", "203.0.113.9", capsys=capsys)[1]
    assert told["stage1"] == {"status": 403, "why": "Caller cannot access host"}
    for _ in range(3):
        host.stage1()
    told = run(host.service, "explain", host.name, capsys=capsys)[1]
    assert (told["stage1"]["status"], host.stage1().status_code) == (429, 429)
    assert host.stage1().headers["Retry-After"]
    assert (told["latest_boot"]["number"], told["latest_boot"]["outcome"]) == (3, "running")


def test_retire_and_delete(host: machine.Machine, capsys: pytest.CaptureFixture[str]) -> None:
    status, told, _ = run(host.service, "retire", host.name, capsys=capsys)
    assert (status, told["desired"]["Retired"]) == (command.DONE, True)
    assert host.stage1().text == "Host is retired\n"
    assert host.name in [one["desired"]["Name"] for one in run(host.service, "list", "*-m*", capsys=capsys)[1]]
    assert run(host.service, "list", "nobody*", capsys=capsys)[1] == []
    assert run(host.service, "delete", host.name, capsys=capsys)[:2] == (command.DONE, {"deleted": host.name})
    for verb in ("get", "history", "explain", "retire", "delete"):
        status, told, error = run(host.service, verb, host.name, capsys=capsys)
        assert (status, told, error) == (command.ABSENT, None, f"404 host.absent: there is no host {host.name}\n")


def test_a_record_that_is_made_again_has_no_boots(host: machine.Machine, capsys: pytest.CaptureFixture[str]) -> None:
    host.boot()
    old = dict(host.urls)
    run(host.service, "delete", host.name, capsys=capsys)
    host.service.create(epoxy_service.record(host.name, IPv4Addr=host.address))
    assert run(host.service, "history", host.name, capsys=capsys)[1]["boots"] == []
    assert host.call(old["stage3"]).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"sequence": "other"}, "sequence"),
        ({"sequence": "boot", "version": "a b"}, "version"),
        ({"sequence": "boot", "expires_in_s": 0}, "expires_in_s"),
        ({"sequence": "boot", "expires_in_s": True}, "expires_in_s"),
        ({"sequence": "boot", "until_success": 1}, "until_success"),
        ({"sequence": "boot", "more": 1}, "body"),
        ([], "body"),
    ],
)
def test_an_order_that_is_none_is_refused_by_its_field(host: machine.Machine, body: Any, field: str) -> None:
    answer = host.service.call("PUT", f"/admin/v1/hosts/{host.name}/next-boot", json=body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)


def test_a_reader_may_look_and_not_order(host: machine.Machine) -> None:
    base = f"/admin/v1/hosts/{host.name}"
    for path in ("history", "explain"):
        assert host.service.call("GET", f"{base}/{path}", token=READ_TOKEN).status_code == 200
    order: dict[str, Any] = {"json": {"sequence": "boot"}, "token": READ_TOKEN}
    assert host.service.call("PUT", f"{base}/next-boot", **order).status_code == 403
    assert host.service.call("POST", f"{base}/retire", token=READ_TOKEN).status_code == 403
    assert host.service.call("POST", f"{base}/retire").status_code == 428


def test_callers_of_both_families_may_be_named_and_stay_when_left_out(host: machine.Machine) -> None:
    path = f"/admin/v1/hosts/{host.name}"
    body = epoxy_service.record(host.name, IPv4Addr=host.address)
    etag = host.service.call("GET", path).headers["ETag"]
    for callers, status in ((["2001:db8::/32"], 422), (["x"], 422), ([7], 422), (["2001:db8:1::/64"], 200)):
        answer = host.service.call("PUT", path, json={**body, "Callers": callers}, headers={"If-Match": etag})
        assert answer.status_code == status
    again = host.service.call("PUT", path, json=body, headers={"If-Match": answer.headers["ETag"]})
    assert again.json()["desired"]["Callers"] == ["2001:db8:1::/64"]
    assert host.call(host.path("stage1.ipxe"), address="2001:db8:1::5").status_code == 200
    assert host.call(host.path("stage1.ipxe"), address="2001:db8:2::5").status_code == 403


def test_the_command_says_in_one_line_what_is_wrong(service: Service, tmp_path: Any) -> None:
    base = [sys.executable, "-m", "services.epoxy.command", "--token-file", str(service.admin_token_file)]
    for words, said in (
        (["--url", "http://192.0.2.1/admin/v1", "get", "a.test"], "over https only"),
        (["--url", "http://127.0.0.1:9/admin/v1", "get", "a.test"], "no answer"),
    ):
        done = subprocess.run([*base, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (command.FAILED, "")
        (line,) = done.stderr.splitlines()
        assert said in line
