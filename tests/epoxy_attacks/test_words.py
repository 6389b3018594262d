"""What a machine, or somebody in between, says of itself and of the server: it changes no answer."""

from __future__ import annotations

import re

import pytest

from tests.epoxy import machine
from tests.epoxy_attacks.scene import Scene, record

INJECTED = [
    "'; DROP TABLE desired; --",
    "<script>alert(1)</script>",
    "${net0/mac} ; shell\nset stage1chain_url http://evil.test/",
    "$(reboot) `reboot` && reboot | reboot",
    "{{kargs `epoxy.stage3`}} %s %n %(x)s {0}",
    "\0\r\nSet-Cookie: a=b\x1b[2J",
    "𝕏" * 50,
]


@pytest.mark.parametrize("text", INJECTED)
def test_what_a_machine_says_ends_in_its_record_and_nowhere_else(scene: Scene, text: str) -> None:
    host = scene.host
    fields = {**dict.fromkeys(("platform", "serial", "mac", "version"), text), text: text}
    answer = host.call(host.path("stage1.ipxe"), data=fields)
    expected = re.sub(r"[A-Za-z0-9_-]{27}", "ID", answer.text)
    plain = re.sub(r"[A-Za-z0-9_-]{27}", "ID", scene.host.call(host.path("stage1.ipxe"), data=machine.FORM).text)
    assert answer.status_code == 200 and expected == plain, "the script is the same, whatever the machine says"
    host.stage1()
    host.ask("stage2")
    host.ask("stage3")
    assert host.report(f"error: {text}", **{"log.tail": text, "stage.times": text}).status_code == 204
    seen = record(host)["observed"]
    assert seen["LastSuccess"].startswith("0001")
    boots = host.service.call("GET", f"/admin/v1/hosts/{host.name}/history").json()["boots"]
    told = boots[0]["reports"][0]["message"]
    assert "\0" not in told and "\r" not in told and "\x1b" not in told
    assert host.service.call("GET", f"/admin/v1/hosts/{scene.other.name}").status_code == 200
    assert text.splitlines()[0] not in host.service.log.read_text()


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "Referer"])
def test_a_forged_name_of_the_server_is_in_no_url_of_a_boot(scene: Scene, header: str) -> None:
    answer = scene.host.call(scene.host.path("stage1.ipxe"), headers={header: "evil.test"}, data=machine.FORM)
    assert answer.status_code == 200
    urls = re.findall(r"https?://([^/\s]+)", answer.text)
    assert set(urls) == {"boot.test", "storage.googleapis.com"} and len(urls) == 5
