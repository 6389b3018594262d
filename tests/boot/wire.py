"""The network of the boot tests: a namespace of their own, a bridge with the server's address, DHCP and DNS on it.

Nothing leaves it: there is no other interface. DHCP gives each card one fixed address and no boot option, so that what
boots is what stands in the firmware's own variables.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Interface
from pathlib import Path

from services.local import namespace
from tests import waiting

BRIDGE = "br0"


@contextmanager
def network(folder: Path, server: IPv4Interface, names: tuple[str, ...], leases: Mapping[str, str]) -> Iterator[str]:
    """Be in the network; its name is given. `leases`: addresses by MAC. `names`: what DNS knows, all at the server."""
    name = f"mlab-boot-{os.getpid()}"
    _ip("netns", "add", name)
    try:
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "add", BRIDGE, "type", "bridge"),
            ("addr", "add", str(server), "dev", BRIDGE),
            ("link", "set", BRIDGE, "up"),
        ):
            _ip("-n", name, *words)
        for index in range(len(leases)):
            _ip("-n", name, "tuntap", "add", f"tap{index}", "mode", "tap")
            _ip("-n", name, "link", "set", f"tap{index}", "master", BRIDGE, "up")
        with namespace.entered(name), _dnsmasq(folder, server, names, leases):
            yield name
    finally:
        _ip("netns", "delete", name)


@contextmanager
def _dnsmasq(folder: Path, server: IPv4Interface, names: tuple[str, ...], leases: Mapping[str, str]) -> Iterator[None]:
    command = [
        *("/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"),
        *("--user=root", "--log-facility=-", "--log-dhcp", f"--interface={BRIDGE}", "--bind-interfaces"),
        *(f"--pid-file={folder / 'dnsmasq.pid'}", f"--dhcp-leasefile={folder / 'leases'}"),
        f"--dhcp-range={server.network.network_address},static,{server.network.netmask}",
        *(f"--dhcp-host={mac},{address}" for mac, address in leases.items()),
        *(f"--dhcp-option=option:router,{server.ip}", f"--dhcp-option=option:dns-server,{server.ip}"),
        *(f"--address=/{name}/{server.ip}" for name in names),
    ]
    with (folder / "dnsmasq.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        said = (folder / "dnsmasq.log").read_text
        waiting.until(lambda: "started" in said(), "dnsmasq starts", process=process, told=said)
        yield
    finally:
        process.terminate()
        process.wait()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
