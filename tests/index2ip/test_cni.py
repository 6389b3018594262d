"""Real CNI: Debian's macvlan and bridge plug-ins ask ours, and the container talks to its neighbour.

Three network namespaces, made and removed here: the node's, the container's, and the neighbour's, which has the
gateway's addresses and a server. Node and neighbour are joined by a pair of virtual interfaces.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.index2ip import plugin

PLUGINS = Path("/usr/lib/cni")
GATEWAYS = ("192.0.2.65/26", "2001:db8:0:7::1/64")
OWN = ("192.0.2.75/26", "2001:db8:0:7::75/64")
PORT = 7

SERVE = f"""
import socket
server = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    taken, (address, *_) = server.accept()
    taken.sendall(address.encode())
    taken.close()
"""
# Addresses of IPv6 may be used once the kernel has found nobody else with them: tried until then.
ASK = f"""
import errno, socket, sys, time
limit = time.monotonic() + 120
while True:
    try:
        with socket.create_connection((sys.argv[1], {PORT}), 5) as taken:
            print(taken.makefile().read().removeprefix("::ffff:"))
            break
    except OSError:
        if time.monotonic() > limit:
            raise
        time.sleep(0.05)
"""


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=180, **more)


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Their names."""

    node: str
    container: str

    def addresses(self) -> dict[str, set[str]]:
        """Global addresses of the container, by interface."""
        listed = json.loads(run("ip", "-n", self.container, "-json", "address").stdout)
        return {
            link["ifname"]: {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] == "global"}
            for link in listed
            if link["ifname"] != "lo"
        }

    def ask(self, address: str) -> str:
        """What address the neighbour sees when the container asks it at one of its own."""
        words = ("ip", "netns", "exec", self.container, sys.executable, "-IS", "-c", ASK, address)
        return run(*words).stdout.strip()

    def plug(self, command: str, config: dict[str, Any]) -> plugin.Answer:
        """Call the plug-in of the configuration's type in the node's namespace, as a runtime does."""
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "test",
            "CNI_NETNS": f"/run/netns/{self.container}",
            "CNI_IFNAME": "net1",
            "CNI_PATH": f"{PLUGINS}:{plugin.PROGRAM.parent}",
            "PROC_CMDLINE_FOR_TESTING": plugin.command_line(),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        words = ("ip", "netns", "exec", self.node, str(PLUGINS / config["type"]))
        done = subprocess.run(
            words, check=False, input=json.dumps(config), capture_output=True, text=True, env=environment, timeout=60
        )
        return plugin.Answer(done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr)


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Namespaces]:
    mark = uuid.uuid4().hex[:8]
    node, container, neighbour = names = [f"mlab-{part}-{mark}" for part in ("node", "pod", "peer")]
    made = []
    try:
        for name in names:
            run("ip", "netns", "add", name)
            made.append(name)
        run("ip", "-n", node, "link", "add", "up0", "type", "veth", "peer", "name", "peer0", "netns", neighbour)
        run("ip", "-n", node, "link", "set", "up0", "up")
        for address in GATEWAYS:
            run(
                "ip", "-n", neighbour, "address", "add", address, "dev", "peer0", *(["nodad"] if ":" in address else [])
            )
        run("ip", "-n", neighbour, "link", "set", "peer0", "up")
        words = ("ip", "netns", "exec", neighbour, sys.executable, "-IS", "-c", SERVE)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None and server.stdout.readline() == "ready\n"
                yield Namespaces(node, container)
            finally:
                server.kill()
    finally:
        for name in made:
            run("ip", "netns", "del", name)


def network(kind: str, version: str, **more: object) -> dict[str, Any]:
    """A configuration of one of Debian's plug-ins that takes addresses from ours."""
    own: dict[str, Any] = {
        "macvlan": {"master": "up0", "mode": "bridge"},
        "bridge": {"bridge": "br0", "isGateway": False},
    }
    return {
        "cniVersion": version,
        "name": kind,
        "type": kind,
        "ipam": {"type": "index2ip", "index": 2},
        **own[kind],
        **more,
    }


@pytest.fixture(params=["macvlan", "bridge"])
def kind(request: pytest.FixtureRequest, namespaces: Namespaces) -> Iterator[str]:
    """Which plug-in; a bridge of its own joins the uplink."""
    if request.param == "bridge":
        run("ip", "-n", namespaces.node, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        run("ip", "-n", namespaces.node, "link", "set", "br0", "up")
        run("ip", "-n", namespaces.node, "link", "set", "up0", "master", "br0")
    yield request.param
    if request.param == "bridge":
        run("ip", "-n", namespaces.node, "link", "del", "br0")


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_a_container_gets_its_addresses_and_reaches_its_neighbour(
    namespaces: Namespaces, kind: str, version: str
) -> None:
    config = network(kind, version)
    added = namespaces.plug("ADD", config)
    try:
        assert added.status == 0, added
        assert [entry["address"] for entry in added.printed["ips"]] == list(OWN)
        assert namespaces.addresses() == {"net1": set(OWN)}
        for own, gateway in zip(OWN, GATEWAYS, strict=True):
            assert namespaces.ask(gateway.partition("/")[0]) == own.partition("/")[0]
        if version != "0.3.1":
            kept = {**config, "prevResult": added.printed}
            assert namespaces.plug("CHECK", kept) == plugin.Answer(0, None, "")
            kept["ipam"] = {"type": "index2ip", "index": 3}
            refused = namespaces.plug("CHECK", kept)
            assert (refused.status, refused.printed["code"]) == (1, 102), refused
    finally:
        assert namespaces.plug("DEL", {**config, "prevResult": added.printed}).status == 0
    assert namespaces.addresses() == {}
    assert namespaces.plug("DEL", config).status == 0


def test_a_refusal_reaches_the_runtime_as_it_was_said_and_a_deletion_cleans_up(
    namespaces: Namespaces, kind: str
) -> None:
    config = network(kind, "1.0.0", ipam={"type": "index2ip", "index": 13})
    answer = namespaces.plug("ADD", config)
    assert namespaces.plug("DEL", config).status == 0  # as a runtime does after any failure
    assert (answer.status, answer.printed["code"]) == (1, 7)
    assert "ipam.index 13 is outside 1 to 12" in answer.printed["msg"]
    assert namespaces.addresses() == {}
