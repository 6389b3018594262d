"""What a machine's firmware or boot medium runs first, as text: the iPXE script of one host, or its GRUB menu. Pure.

    autoexec(machine, server)   `autoexec.ipxe`: network, the form that the original ROM sends, retries, then what
                                `after` says. UEFI HTTP boot and the ISO and USB images start it
    padded(script)              the same as a block of fixed size, which can be replaced inside a finished image
    command_line(machine, …)    for media that start Linux itself as stage 1
    grub(machine, …)            their menu

Nothing of the project is imported here, so that boot server and image builder can both use it. The values end up in
scripts, so each is checked; there is no secret in any of them. The names that are set (`hostname`, `ipv4_address`, …)
are those that the original's `stage1to2.ipxe` reads.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

TRIES = 5
FIRST_WAIT_S = 30
"""Waits of the original's ROM: 30, 60, 120, 240 s between five tries."""
TIMEOUT_MS = 10_000
LAST_WAIT_S = 10
AFTER = ("reboot", "poweroff", "exit")
"""What happens after the last try; `exit` gives the machine back to its firmware, which tries the next entry."""
BLOCK_BYTES = 8192
PARAMETERS = (
    ("platform", "platform"),
    ("buildarch", "buildarch"),
    ("serial", "serial"),
    ("asset", "asset"),
    ("uuid", "uuid"),
    ("manufacturer", "manufacturer"),
    ("product", "product"),
    ("chip", "net0/chip"),
    ("mac", "net0/mac"),
    ("ip", "net0/ip"),
    ("version", "version"),
)
"""Names in the form, and the settings of iPXE that they come from."""

_FOUND = {
    "ipv4_enabled": "true",
    "ipv4_address": "${net0/ip}",
    # Where a prefix length stands otherwise; both forms are read.
    "ipv4_subnet": "${net0/netmask}",
    "ipv4_gateway": "${net0/gateway}",
    "ipv4_dns1": "${net0/dns}",
    "ipv4_dns2": "",
    "ipv4_netmask": "${net0/netmask}",
}

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
_CARD = re.compile(r"[a-z0-9]{1,15}")
_WORD = re.compile(r"[!-~]+")


class Network(NamedTuple):
    """One address family: the address with its prefix length, the gateway, and up to two name servers."""

    address: str
    gateway: str
    dns1: str = ""
    dns2: str = ""


class Machine(NamedTuple):
    """One host as its record and its site's file describe it. `bmc` is the address of its controller, or empty.

    Without `ipv4` the script takes the network that the firmware has set up, as it has where it boots by HTTPS.
    """

    hostname: str
    project: str
    ipv4: Network | None
    ipv6: Network | None = None
    interface: str = "eth0"
    bmc: str = ""


def autoexec(
    machine: Machine,
    server: str,
    *,
    timeout_ms: int = TIMEOUT_MS,
    tries: int = TRIES,
    first_wait_s: int = FIRST_WAIT_S,
    last_wait_s: int = LAST_WAIT_S,
    after: str = "reboot",
) -> str:
    """The script. `server` is the URL of iPXE's listener, such as `https://NAME:4430`. Raises ValueError."""
    _check(machine)
    if not _URL.fullmatch(server):
        raise ValueError(f"server {server!r}: must be https://NAME:PORT and no more")
    if after not in AFTER or not 1 <= tries <= 20 or not 0 <= first_wait_s <= 3600 or not 0 < timeout_ms <= 600_000:
        raise ValueError(f"after {after!r}, tries {tries}, first_wait_s {first_wait_s}, timeout_ms {timeout_ms}: no")
    form = "\n".join(f"param {name} ${{{setting}}}" for name, setting in PARAMETERS)
    waits = "\n".join(
        f"iseq ${{tries}} {number} && sleep {first_wait_s * 2 ** (number - 1)} ||" for number in range(1, tries)
    )
    sets = "\n".join(f"set {name} {value}".rstrip() for name, value in _settings(machine, server).items())
    return f"""#!ipxe

{sets}

iseq ${{net0/ip}} ${{ipv4_address}} && goto ready ||
ifopen net0 ||
set net0/ip ${{ipv4_address}}
set net0/netmask ${{ipv4_netmask}}
set net0/gateway ${{ipv4_gateway}}
set net0/dns ${{ipv4_dns1}}
:ready
echo ePoxy: ${{hostname}} ${{net0/ip}} asks ${{epoxyaddress}}
set tries:int32 0

:ask
params
{form}
imgfree stage1.ipxe ||
imgfetch --name stage1.ipxe --timeout {timeout_ms} {server}/v1/boot/${{hostname}}/stage1.ipxe##params || goto failed
chain stage1.ipxe || goto failed

:failed
inc tries
echo ePoxy: try ${{tries}} of {tries} failed
iseq ${{tries}} {tries} && goto over ||
{waits}
goto ask

:over
sleep {last_wait_s}
{after}
"""


def padded(script: str, size: int = BLOCK_BYTES) -> bytes:
    """The script with blank lines up to exactly `size` bytes, which iPXE skips. Raises ValueError if it is longer."""
    body = script.encode("ascii")
    if len(body) > size:
        raise ValueError(f"the script has {len(body)} bytes; the block in the image has {size}")
    return body + b"\n" * (size - len(body))


def command_line(machine: Machine, server: str, *, more: str = "") -> str:
    """The kernel command line of a medium that starts Linux as stage 1. `server` is the listener for Linux."""
    _check(machine)
    if not _URL.fullmatch(server):
        raise ValueError(f"server {server!r}: must be https://NAME and no more")
    if not all(_WORD.fullmatch(word) for word in more.split()):
        raise ValueError(f"more {more!r}: words of printable ASCII only")
    v4 = machine.ipv4
    if v4 is None:
        raise ValueError(f"{machine.hostname}: a medium that starts Linux needs the IPv4 network of the machine")
    interface = ipaddress.IPv4Interface(v4.address)
    old = (
        interface.ip,
        "",
        v4.gateway,
        interface.netmask,
        machine.hostname,
        machine.interface,
        "false",
        v4.dns1,
        v4.dns2,
    )
    words = {
        "net.ifnames": "0",
        "autoconf": "0",
        "epoxy.project": machine.project,
        "epoxy.ip": ":".join(map(str, old)),
        "epoxy.hostname": machine.hostname,
        "epoxy.interface": machine.interface,
        "epoxy.ipv4": _joined(v4),
        "epoxy.ipv6": "" if machine.ipv6 is None else _joined(machine.ipv6),
        "epoxy.stage1": f"{server}/v1/boot/{machine.hostname}/stage1.json",
        "drac.ipv4": machine.bmc,
    }
    return " ".join([*(f"{key}={value}" for key, value in words.items()), *more.split()])


def grub(
    machine: Machine,
    server: str,
    *,
    kernel: str = "/stage1_kernel.vmlinuz",
    initramfs: str = "/stage1_initramfs.cpio.gz",
    more: str = "",
) -> str:
    """`grub.cfg` of an ISO or USB image that starts Linux as stage 1; nothing is waited for."""
    line = command_line(machine, server, more=more)
    return f"""set timeout=0
set default=0
menuentry "ePoxy {machine.hostname}" {{
  linux {kernel} {line}
  initrd {initramfs}
}}
"""


def _settings(machine: Machine, server: str) -> dict[str, str]:
    made = {
        "project": machine.project,
        "hostname": machine.hostname,
        "epoxyaddress": server.partition("://")[2],
        "interface": machine.interface,
    }
    for name, network in (("ipv4", machine.ipv4), ("ipv6", machine.ipv6)):
        made[f"{name}_enabled"] = "false" if network is None else "true"
        if network is not None:
            address, _, length = network.address.partition("/")
            made[f"{name}_address"], made[f"{name}_subnet"] = address, length
            made[f"{name}_gateway"] = network.gateway
            made[f"{name}_dns1"], made[f"{name}_dns2"] = network.dns1, network.dns2
    if machine.ipv4 is None:
        return {**made, **_FOUND}
    made["ipv4_netmask"] = str(ipaddress.IPv4Interface(machine.ipv4.address).netmask)
    return made


def _joined(network: Network) -> str:
    return f"{network.address},{network.gateway},{network.dns1},{network.dns2}"


def _check(machine: Machine) -> None:
    if not _HOST.fullmatch(machine.hostname):
        raise ValueError(f"hostname {machine.hostname!r}: must be a full name in lower case")
    if not _PROJECT.fullmatch(machine.project):
        raise ValueError(f"project {machine.project!r}: letters a-z, digits and hyphens")
    if not _CARD.fullmatch(machine.interface):
        raise ValueError(f"interface {machine.interface!r}: a name such as eth0")
    if machine.bmc:
        ipaddress.IPv4Address(machine.bmc)
    for version, network in ((4, machine.ipv4), (6, machine.ipv6)):
        if network is None:
            continue
        addresses = (network.gateway, *filter(None, (network.dns1, network.dns2)))
        if "/" not in network.address or ipaddress.ip_interface(network.address).version != version:
            raise ValueError(f"address {network.address!r}: must be an IPv{version} address and its prefix length")
        if any(ipaddress.ip_address(address).version != version for address in addresses):
            raise ValueError(f"{addresses}: must be IPv{version} addresses")
