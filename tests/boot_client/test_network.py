"""The network of a machine: what its command line says, and that a kernel takes the commands, in a namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.boot import network
from node.boot.errors import Usage

V4 = {"epoxy.ipv4": "192.0.2.9/28,192.0.2.1,198.51.100.1,198.51.100.2"}
V6 = {"epoxy.ipv6": "2001:db8::9/64,2001:db8::1,2001:db8:1::1,2001:db8:1::2"}


def test_absent_and_empty_are_the_same() -> None:
    assert network.family({}, "epoxy.ipv6") is None
    assert network.family({"epoxy.ipv6": ""}, "epoxy.ipv6") is None


@pytest.mark.parametrize(
    "value",
    ["192.0.2.9", "192.0.2.9,192.0.2.1", "192.0.2.9/33,192.0.2.1", "x/24,192.0.2.1", "192.0.2.9/24,",
     "2001:db8::9/64,2001:db8::1", "192.0.2.9/24,2001:db8::1", "192.0.2.9/24,192.0.2.1,dns.test",
     "192.0.2.9/24;reboot,192.0.2.1"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_with_its_form(value: str) -> None:
    with pytest.raises(Usage, match=r"epoxy\.ipv4="):
        network.family({"epoxy.ipv4": value}, "epoxy.ipv4")


def test_a_resolver_gets_three_servers_at_most() -> None:
    families = [network.family(V4, "epoxy.ipv4"), network.family(V6, "epoxy.ipv6")]
    text = network.resolver([one for one in families if one])
    assert text.split() == ["nameserver", "198.51.100.1", "nameserver", "198.51.100.2", "nameserver", "2001:db8:1::1"]


def test_cards_are_real_ethernet_cards_and_the_named_one_comes_first(tmp_path: Path) -> None:
    for name, kind, real in (("lo", "772", False), ("eth10", "1", True), ("eth2", "1", True), ("veth", "1", False),
                             ("ib0", "32", True), ("ens3", "1", True)):  # fmt: skip
        card = tmp_path / name
        card.mkdir()
        (card / "type").write_text(f"{kind}\n")
        if real:
            (card / "device").mkdir()
    assert network.cards("ens3", tmp_path) == ["ens3", "eth2", "eth10"]
    assert network.cards("eth0", tmp_path) == ["ens3", "eth2", "eth10"]
    assert network.cards("eth0", tmp_path / "nothing") == []


@pytest.fixture
def inside() -> Iterator[list[str]]:
    """How to call `ip` in a namespace of its own that has one card, `c0`, half of a pair."""
    program = shutil.which("ip")
    assert program, "iproute2 is part of the machines that tests run on"
    space = f"mlab-client-{os.getpid()}"
    subprocess.run([program, "netns", "add", space], check=True)
    try:
        call = [program, "netns", "exec", space, program]
        subprocess.run([*call, "link", "add", "c0", "type", "veth", "peer", "name", "c1"], check=True)
        for card in ("c0", "c1"):
            subprocess.run([*call, "link", "set", "dev", card, "up"], check=True)
        yield call
    finally:
        subprocess.run([program, "netns", "del", space], check=True)


@pytest.mark.parametrize(
    ("kargs", "key"),
    [(V4, "epoxy.ipv4"), (V6, "epoxy.ipv6"), ({"epoxy.ipv4": "192.0.2.9/32,198.51.100.1,,"}, "epoxy.ipv4")],
    ids=["ipv4", "ipv6", "gateway-elsewhere"],
)
def test_a_kernel_takes_the_commands_and_again_and_has_the_address_and_the_route(
    inside: list[str], kargs: dict[str, str], key: str
) -> None:
    one = network.family(kargs, key)
    assert one is not None
    for command in network.commands("c0", one) * 2:
        subprocess.run([*inside, *command[1:]], capture_output=True, check=True)
    version = f"-{one.address.version}"
    shown = json.loads(_said([*inside, "-j", version, "addr", "show", "dev", "c0", "scope", "global"]))
    addresses = [f"{a['local']}/{a['prefixlen']}" for card in shown for a in card.get("addr_info", ()) if a]
    assert addresses == [str(one.address)]
    routes = json.loads(_said([*inside, "-j", version, "route", "show", "default"]))
    assert [route["gateway"] for route in routes] == [str(one.gateway)]


def _said(command: list[str]) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout
