"""ipvlan, as on a node: its kernel, its plug-ins, its Python and its boot parameters, in a virtual machine.

The kernel of a build machine may lack ipvlan, so the system that nodes boot (stage 3) is started with a script in
place of systemd. Node, pod and neighbour are three network namespaces in there; the machine has no card.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from node.images import cpio, stage3
from node.images.tree import Tree
from tests.boot import server
from tests.index2ip import plugin
from tests.index2ip.test_cni import GATEWAYS, OWN
from tests.manifests.pods import rendered

SCRIPT = Path(__file__).with_name("guest.sh")
VERSIONS = ("0.3.1", "1.0.0")
WAYS = (*VERSIONS, "chain")
"""ipvlan that asks index2ip itself, and the chain that a manifest has."""
LIMIT_S = 600
"""Bounds a failure only."""

pytestmark = pytest.mark.timeout(1800)


def chain() -> list[dict[str, Any]]:
    """What the runtime gives each plug-in of the network that pods with index 2 are attached to."""
    (text,) = (r.spec["spec"]["config"] for r in rendered() if r.id.name == "default/index2ip-index-2-conf")
    network = json.loads(text)
    return [{"cniVersion": network["cniVersion"], "name": network["name"], **one} for one in network["plugins"]]


def initramfs(image: bytes) -> bytes:
    """A node's, whose root's first process is the script."""
    behind = Tree()
    behind.file("init", stage3.INIT.replace("/sbin/init", "/bin/sh /etc/mlab/script"), 0o755)
    first, second = (json.dumps(config) for config in chain())
    values = {"NODE4": "192.0.2.73/26", "GATEWAYS": " ".join(GATEWAYS), "ADDRESSES": " ".join(OWN)}
    head = "".join(f"{name}='{value}'\n" for name, value in {**values, "FIRST": first, "SECOND": second}.items())
    behind.file("etc/mlab/script", head + SCRIPT.read_text())
    return image + b"\0" * (-len(image) % 512) + cpio.archive(behind, time_s=0)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """Exit status and output of every step, by its name, of one run of the machine."""
    files = server.built("stage3")
    folder = tmp_path_factory.mktemp("guest")
    (folder / "kernel").write_bytes(files[stage3.KERNEL])
    (folder / "initramfs").write_bytes(initramfs(files[stage3.INITRAMFS]))
    console = folder / "console.log"
    # Where the machine is busy, the kernel may find that the emulated timer does not work.
    words = f"console=ttyS0 quiet panic=-1 no_timer_check {plugin.command_line()}"
    command = [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "qemu64,+rdrand", "-m", "768"),
        *("-nodefaults", "-display", "none", "-no-reboot", "-monitor", "none", "-serial", f"file:{console}"),
        *("-kernel", str(folder / "kernel"), "-initrd", str(folder / "initramfs"), "-append", words),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    text = console.read_text(errors="replace") if console.exists() else ""
    assert done.returncode == 0 and "@ end 0" in text, f"{done.stderr}\n{text[-6000:]}"
    found: dict[str, list[tuple[int, str]]] = {}
    for line in text.splitlines():
        mark, _, rest = line.partition("@ ")
        name, _, rest = rest.partition(" ")
        status, _, output = rest.partition(" ")
        if not mark and status.isdecimal():
            found.setdefault(name, []).append((int(status), output.strip()))
    return found


def only(steps: list[tuple[int, str]], status: int = 0) -> Any:
    """The JSON that one step gave."""
    ((given, output),) = steps
    assert given == status, steps
    return json.loads(output)


@pytest.mark.parametrize("version", WAYS)
def test_a_pod_gets_its_addresses_on_an_ipvlan_interface_of_the_node_s_card(
    said: dict[str, list[tuple[int, str]]], version: str
) -> None:
    added = only(said[f"{version}-add"])
    assert [entry["address"] for entry in added["ips"]] == list(OWN)
    (link,) = only(said[f"{version}-addresses"])
    assert link["linkinfo"]["info_kind"] == "ipvlan"
    assert {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] == "global"} == set(OWN)


@pytest.mark.parametrize("version", WAYS)
@pytest.mark.parametrize("way", ["out", "in"])
def test_pod_and_neighbour_reach_each_other_by_both_families(
    said: dict[str, list[tuple[int, str]]], version: str, way: str
) -> None:
    answered = said[f"{version}-{way}"]
    assert [status for status, _ in answered] == [0, 0], said
    assert all("1 received" in output for _, output in answered)


def test_a_check_holds_for_this_index_and_not_for_another(said: dict[str, list[tuple[int, str]]]) -> None:
    assert said["1.0.0-check"] == [(0, "")]
    assert only(said["1.0.0-check-of-another"], 1)["code"] == 102


@pytest.mark.parametrize("version", VERSIONS)
def test_a_deletion_leaves_nothing_and_may_come_twice(said: dict[str, list[tuple[int, str]]], version: str) -> None:
    assert said[f"{version}-del"] == said[f"{version}-del-again"] == [(0, "")]
    assert {link["ifname"] for link in only(said[f"{version}-left"])} == {"lo"}


def test_the_chain_of_a_manifest_lets_no_router_give_addresses_and_cleans_up(
    said: dict[str, list[tuple[int, str]]],
) -> None:
    assert [entry["address"] for entry in only(said["chain-settings"])["ips"]] == list(OWN)
    assert said["chain-advertised"] == said["chain-configured"] == [(0, "0")]
    assert said["chain-del"] == [(0, ""), (0, "")]
    assert {link["ifname"] for link in only(said["chain-left"])} == {"lo"}
