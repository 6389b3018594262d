"""Settings come before addresses, in the pod's namespace alone; what goes wrong is a CNI error object."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.index2ip import plugin

PROGRAM = plugin.PROGRAM.with_name("netctl")
RA, AUTOCONF = (f"net.ipv6.conf.default.{name}" for name in ("accept_ra", "autoconf"))
SYSCTL = {RA: "0", AUTOCONF: "0"}
RECORDING = """\
#!/bin/sh
# Says what it was asked, and what the pod's settings were then; answers what it was told to.
echo "$CNI_COMMAND $(ip netns exec {pod} cat /proc/sys/net/ipv6/conf/default/accept_ra)" >> {log}
cat > {stdin}
printf '%s' '{answer}'
exit {status}
"""


@pytest.fixture
def pod() -> Iterator[str]:
    """A network namespace."""
    name = f"mlab-netctl-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True)


def config(sysctl: object = SYSCTL, kind: object = "index2ip", index: int = 2) -> dict[str, Any]:
    return {
        "cniVersion": "0.3.1",
        "name": "public",
        "type": "netctl",
        "ipam": {"type": kind, "index": index},
        "sysctl": sysctl,
    }


def call(command: str, stdin: object, namespace: str, path: object = plugin.PROGRAM.parent) -> plugin.Answer:
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "test",
        "CNI_NETNS": namespace and f"/run/netns/{namespace}",
        "CNI_IFNAME": "net1",
        "CNI_PATH": f"/nowhere:{path}",
        "PROC_CMDLINE_FOR_TESTING": plugin.command_line(),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    data = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
    done = subprocess.run([PROGRAM], check=False, input=data, capture_output=True, env=environment, timeout=60)
    return plugin.Answer(done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr.decode())


def setting(pod: str, key: str) -> str:
    path = f"/proc/sys/{key.replace('.', '/')}"
    words = ["ip", "netns", "exec", pod, "cat", path]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_settings_are_those_of_the_pod_alone_and_the_addresses_are_handed_on(pod: str) -> None:
    machine = Path("/proc/sys/net/ipv6/conf/default/accept_ra").read_text()
    assert setting(pod, RA) == "1"
    added = call("ADD", config(), pod)
    assert added.status == 0, added
    assert added.printed == plugin.call("ADD", plugin.config(), plugin.command_line()).printed
    assert (setting(pod, RA), setting(pod, AUTOCONF)) == ("0", "0")
    assert Path("/proc/sys/net/ipv6/conf/default/accept_ra").read_text() == machine
    assert call("DEL", config(), pod) == plugin.Answer(0, None, "")


def test_a_check_sees_a_setting_that_was_changed(pod: str) -> None:
    call("ADD", config(), pod)
    assert call("CHECK", config(), pod) == plugin.Answer(0, None, "")
    words = ["ip", "netns", "exec", pod, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/accept_ra"]
    subprocess.run(words, check=True)
    refused = call("CHECK", config(), pod)
    assert (refused.status, refused.printed["code"]) == (1, 110)
    assert "accept_ra is '1', not '0'" in refused.printed["msg"]


def test_addresses_are_asked_for_with_the_same_input_once_the_settings_are_there(pod: str, tmp_path: Path) -> None:
    answer = json.dumps({"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "192.0.2.75/26"}]})
    recording(tmp_path, pod, answer, 0)
    given = {**config(kind="recording"), "prevResult": {"ips": []}}
    assert call("ADD", given, pod, tmp_path).printed == json.loads(answer)
    assert (tmp_path / "log").read_text() == "ADD 0\n"
    assert json.loads((tmp_path / "stdin").read_text()) == given


def recording(folder: Path, pod: str, answer: str, status: int) -> None:
    program = folder / "recording"
    program.write_text(
        RECORDING.format(pod=pod, log=folder / "log", stdin=folder / "stdin", answer=answer, status=status)
    )
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ('{"cniVersion": "0.3.1", "code": 101, "msg": "none left", "details": ""}', 1, 101),
        ('{"cniVersion": "0.3.1"}', 0, 111),
        ("", 0, 111),
        ("{", 0, 6),
    ],
)
def test_without_an_address_nothing_stays_taken(pod: str, tmp_path: Path, answer: str, status: int, code: int) -> None:
    recording(tmp_path, pod, answer, status)
    refused = call("ADD", config(kind="recording"), pod, tmp_path)
    assert (refused.status, refused.printed["code"]) == (1, code), refused
    assert (tmp_path / "log").read_text() == "ADD 0\nDEL 0\n"


def test_a_refusal_of_addresses_is_handed_on_as_it_was_said(pod: str) -> None:
    refused = call("ADD", config(index=13), pod)
    assert (refused.status, refused.printed["code"]) == (1, 7)
    assert "ipam.index 13 is outside 1 to 12" in refused.printed["msg"]


@pytest.mark.parametrize(
    ("stdin", "code", "said"),
    [
        (b"", 6, "not JSON"),
        (b"[]", 6, "not a JSON object"),
        (config(sysctl=[]), 0, ""),
        (config(sysctl=["net.ipv4.ip_forward"]), 7, "not an object"),
        (config(sysctl={RA: 0}), 7, "not an object of texts"),
        (config(sysctl={"kernel.panic": "1"}), 7, "not below net"),
        (config(sysctl={"net/../kernel/panic": "1"}), 7, "not below net"),
        (config(sysctl={"net.ipv6.conf.nothing.accept_ra": "0"}), 5, "accept_ra: No such file"),
        (config(sysctl={RA: "many"}), 5, "accept_ra: Invalid argument"),
        (config(kind="nothing"), 7, "no plug-in nothing"),
        (config(kind="../netctl"), 7, "names no plug-in"),
        (config(kind=None), 7, "names no plug-in"),
    ],
)
def test_what_it_cannot_do_is_said_with_its_code(pod: str, stdin: object, code: int, said: str) -> None:
    answer = call("ADD", stdin, pod)
    assert (answer.status, (answer.printed or {}).get("code", 0)) == (int(code > 0), code), answer
    assert said in answer.stderr and "Traceback" not in answer.stderr


@pytest.mark.parametrize(("namespace", "code"), [("", 4), ("mlab-absent", 5)])
def test_a_namespace_that_is_not_there_is_an_error(namespace: str, code: int) -> None:
    answer = call("ADD", config(), namespace)
    assert (answer.status, answer.printed["code"]) == (1, code)


def test_commands_are_those_of_the_specification() -> None:
    assert call("VERSION", b"", "").printed["cniVersion"] == "1.1.0"
    assert call("REMOVE", config(), "").printed["code"] == 4
    assert call("STATUS", config(), "").status == call("gc", config(), "").status == 0
