"""What firmware and boot media get for one host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node.boot import cmdline, stage1
from reconcilers.fleet import kernel
from reconcilers.load import fleet as loading
from tests import fleets

V4 = stage1.Network("192.0.2.9/28", "192.0.2.1", "198.51.100.1", "198.51.100.2")
V6 = stage1.Network("2001:db8::9/64", "2001:db8::1", "2001:db8:1::1", "2001:db8:1::2")
HOST = "mlab1-lga0t.mlab-sandbox.measurement-lab.test"
MACHINE = stage1.Machine(HOST, "mlab-sandbox", V4, V6)
SERVER = "https://epoxy-boot-api.mlab-sandbox.measurement-lab.test:4430"


def lines(script: str, start: str) -> list[str]:
    return [line for line in script.splitlines() if line.startswith(start)]


def test_the_script_sends_the_form_of_the_original_rom_to_the_hosts_own_url() -> None:
    script = stage1.autoexec(MACHINE, SERVER)
    assert script.startswith("#!ipxe\n")
    names = "platform buildarch serial asset uuid manufacturer product chip mac ip version"
    assert [line.split()[1] for line in lines(script, "param ")] == names.split()
    # `params` starts a new form: without it a second try would be a GET.
    asks = [line for line in script.splitlines() if line in ("params", ":ask", "goto ask")]
    assert asks == [":ask", "params", "goto ask"]
    (fetch,) = lines(script, "imgfetch")
    assert f"--timeout 10000 {SERVER}/v1/boot/${{hostname}}/stage1.ipxe##params || goto failed" in fetch


def test_the_script_sets_what_the_originals_next_script_reads() -> None:
    found = dict(
        line.split(" ", 2)[1:] for line in lines(stage1.autoexec(MACHINE, SERVER), "set ") if "net0" not in line
    )
    assert found["hostname"] == HOST
    assert found["epoxyaddress"] == "epoxy-boot-api.mlab-sandbox.measurement-lab.test:4430"
    assert (found["ipv4_address"], found["ipv4_subnet"], found["ipv4_netmask"]) == (
        "192.0.2.9",
        "28",
        "255.255.255.240",
    )
    assert (found["ipv6_enabled"], found["ipv6_address"], found["ipv6_dns2"]) == (
        "true",
        "2001:db8::9",
        "2001:db8:1::2",
    )
    alone = stage1.autoexec(MACHINE._replace(ipv6=None), SERVER)
    assert "set ipv6_enabled false\n" in alone and "ipv6_address" not in alone


def test_tries_wait_longer_each_time_and_end_in_what_was_asked_for() -> None:
    script = stage1.autoexec(MACHINE, SERVER)
    assert [int(line.split("sleep ")[1].split()[0]) for line in lines(script, "iseq ${tries} ") if "sleep" in line] == [
        *(30, 60, 120, 240)
    ]
    assert script.endswith(":over\nsleep 10\nreboot\n")
    quick = stage1.autoexec(MACHINE, SERVER, tries=1, first_wait_s=0, last_wait_s=0, after="poweroff", timeout_ms=500)
    assert "iseq ${tries} 1 && goto over ||" in quick and quick.endswith("sleep 0\npoweroff\n")


def test_every_label_that_is_gone_to_is_there_once_and_every_condition_has_an_else() -> None:
    script = stage1.autoexec(MACHINE, SERVER)
    labels = [line[1:] for line in lines(script, ":")]
    assert len(labels) == len(set(labels))
    assert set(re.findall(r"goto (\w+)", script)) <= set(labels)
    # A command that fails ends an iPXE script, unless `||` follows.
    assert all("||" in line for line in lines(script, "iseq") + lines(script, "imgfree") + lines(script, "chain"))


@pytest.mark.parametrize(
    "changed",
    [
        MACHINE._replace(hostname="a b.test"),
        MACHINE._replace(hostname="mlab1"),
        MACHINE._replace(hostname="x.test\nshell"),
        MACHINE._replace(hostname="${x}.test"),
        MACHINE._replace(project="p ${net0/ip}"),
        MACHINE._replace(interface="eth0 init=/bin/sh"),
        MACHINE._replace(bmc="10.0.0.1 x"),
        MACHINE._replace(ipv4=V4._replace(address="192.0.2.9")),
        MACHINE._replace(ipv4=V6),
        MACHINE._replace(ipv4=V4._replace(gateway="192.0.2.1 x")),
        MACHINE._replace(ipv6=V6._replace(dns1="${x}")),
    ],
)
def test_a_value_that_could_end_a_word_or_a_line_is_refused(changed: stage1.Machine) -> None:
    with pytest.raises(ValueError):
        stage1.autoexec(changed, SERVER)
    with pytest.raises(ValueError):
        stage1.command_line(changed, "https://s.test")


@pytest.mark.parametrize(
    "server", ["https://s.test/path", "s.test", "https://s.test\n", "https://${x}", "ftp://s.test"]
)
def test_a_server_is_a_scheme_a_name_and_a_port(server: str) -> None:
    with pytest.raises(ValueError, match="server"):
        stage1.autoexec(MACHINE, server)


def test_a_script_can_be_replaced_in_a_finished_image() -> None:
    script = stage1.autoexec(MACHINE, SERVER)
    block = stage1.padded(script)
    assert len(block) == stage1.BLOCK_BYTES and block.decode().rstrip("\n") == script.rstrip("\n")
    with pytest.raises(ValueError, match="block"):
        stage1.padded("x" * (stage1.BLOCK_BYTES + 1))


def test_a_medium_that_starts_linux_has_the_same_facts_on_its_command_line() -> None:
    machine = MACHINE._replace(bmc="192.0.2.8")
    menu = stage1.grub(machine, "https://s.test", more="console=ttyS0")
    (line,) = [line for line in menu.splitlines() if line.startswith("  linux ")]
    kargs = cmdline.parse(line.removeprefix("  linux /stage1_kernel.vmlinuz "))
    assert kargs["epoxy.stage1"] == f"https://s.test/v1/boot/{HOST}/stage1.json"
    assert kargs["epoxy.ipv4"] == "192.0.2.9/28,192.0.2.1,198.51.100.1,198.51.100.2"
    assert kargs["epoxy.ipv6"] == "2001:db8::9/64,2001:db8::1,2001:db8:1::1,2001:db8:1::2"
    assert kargs["epoxy.ip"] == f"192.0.2.9::192.0.2.1:255.255.255.240:{HOST}:eth0:false:198.51.100.1:198.51.100.2"
    assert (kargs["drac.ipv4"], kargs["net.ifnames"], kargs["console"]) == ("192.0.2.8", "0", "ttyS0")
    assert "epoxy.ipv6= " in stage1.command_line(machine._replace(ipv6=None), "https://s.test")


def test_media_have_the_command_line_that_the_fleet_publishes(tmp_path: Path) -> None:
    domain = "measurement-lab.test"
    published = kernel.command_lines(loading.load(fleets.write_fleet(tmp_path)).require(), domain, domain)
    assert len(published) >= 4
    for name, line in published.items():
        kargs = cmdline.parse(line)
        v4, v6 = (
            stage1.Network(*kargs[key].split(",")) if kargs[key] else None for key in ("epoxy.ipv4", "epoxy.ipv6")
        )
        assert v4 is not None
        machine = stage1.Machine(name, kargs["epoxy.project"], v4, v6, bmc=kargs["drac.ipv4"])
        server = kargs["epoxy.stage1"].partition("/v1/")[0]
        assert cmdline.parse(stage1.command_line(machine, server)) == {"autoconf": "0", **kargs}
        assert f"set hostname {name}\n" in stage1.autoexec(machine, f"{server}:4430")
