"""The machine's network from the kernel command line: address, route, name servers, host name.

    epoxy.ipv4=ADDRESS/PREFIX,GATEWAY,DNS1,DNS2   epoxy.ipv6=… (may be empty)   epoxy.interface=eth0

Stage 2 uses IPv4 alone; stage 3 both, with router advertisements switched off, so that a machine never speaks to the
boot server from an address that it does not know. The card is the one that is named if it has a carrier, else the
first one that has. `ip` is called by its name in PATH: iproute2's and busybox's both do.
"""

from __future__ import annotations

import ipaddress
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from node.boot.errors import Temporary, Usage

CARRIER_S = 60.0
_POLL_S = 0.05
_ETHERNET = "1"
_IFF_UP = 1


class Family(NamedTuple):
    """One address family of the machine."""

    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address
    servers: tuple[str, ...]


def family(kargs: Mapping[str, str], key: str) -> Family | None:
    """What `epoxy.ipv4` or `epoxy.ipv6` says; None where it is absent or empty. Raises `Usage`."""
    value = kargs.get(key, "")
    if not value:
        return None
    fields = value.split(",")
    try:
        address = ipaddress.ip_interface(fields[0])
        gateway = ipaddress.ip_address(fields[1])
        servers = tuple(str(ipaddress.ip_address(field)) for field in fields[2:] if field)
    except (ValueError, IndexError) as error:
        raise Usage(f"{key}={value}: must be ADDRESS/PREFIX,GATEWAY,DNS1,DNS2: {error}") from None
    version = 6 if key.endswith("6") else 4
    if address.version != version or gateway.version != version or "/" not in fields[0]:
        raise Usage(f"{key}={value}: must be an IPv{version} address with its prefix length, and a gateway")
    return Family(address, gateway, servers)


def commands(card: str, one: Family) -> list[list[str]]:
    """Calls of `ip` that give the card this address and route; few, since each costs a boot half a second."""
    ip = ["ip", f"-{one.address.version}"]
    made = [[*ip, "addr", "replace", str(one.address), "dev", card]]
    if one.gateway not in one.address.network:
        made.append([*ip, "route", "replace", str(one.gateway), "dev", card])
    made.append([*ip, "route", "replace", "default", "via", str(one.gateway), "dev", card])
    return made


def resolver(families: list[Family]) -> str:
    """The content of `/etc/resolv.conf`; a resolver reads three servers and no more."""
    servers = [server for one in families for server in one.servers][:3]
    return "".join(f"nameserver {server}\n" for server in servers)


def cards(wanted: str, net: Path = Path("/sys/class/net")) -> list[str]:
    """Real Ethernet cards, the wanted one first."""
    found = []
    for entry in sorted(net.iterdir()) if net.is_dir() else []:
        if (entry / "device").exists() and _read(entry / "type") == _ETHERNET:
            found.append(entry.name)
    return sorted(found, key=lambda name: (name != wanted, len(name), name))


def card(wanted: str, say: Callable[[str], None], *, limit_s: float = CARRIER_S) -> str:
    """The card with a carrier, waited for. Raises `Temporary` if there is no card at all."""
    end = time.monotonic() + limit_s
    up: set[str] = set()
    while True:
        known = cards(wanted)
        for name in known:
            if name not in up:
                _up(name)
                up.add(name)
        live = [name for name in known if _read(Path("/sys/class/net") / name / "carrier") == "1"]
        # The named card may need a moment longer than another one.
        if live and (live[0] == wanted or wanted not in known or time.monotonic() > end - limit_s + 5):
            return live[0]
        if time.monotonic() > end:
            if not known:
                raise Temporary(f"no network card after {limit_s:.0f} s; is the driver in the image?")
            say(f"no carrier on {', '.join(known)} after {limit_s:.0f} s; going on with {known[0]}")
            return known[0]
        time.sleep(_POLL_S)


def configure(kargs: Mapping[str, str], say: Callable[[str], None], *, ipv6: bool) -> None:
    """Bring the network up as the command line says. Raises `Usage` or `Temporary`."""
    wanted = [family(kargs, "epoxy.ipv4"), family(kargs, "epoxy.ipv6") if ipv6 else None]
    families = [one for one in wanted if one is not None]
    if not families:
        raise Usage("epoxy.ipv4 is not on the command line; it gives the machine its address")
    if kargs.get("epoxy.hostname"):
        with suppress(OSError):
            socket.sethostname(kargs["epoxy.hostname"])
    _up("lo")
    name = card(kargs.get("epoxy.interface", "eth0"), say)
    for key in ("accept_ra", "autoconf"):
        with suppress(OSError):
            Path(f"/proc/sys/net/ipv6/conf/{name}/{key}").write_text("0")
    for one in families:
        for command in commands(name, one):
            _ip(command)
    if text := resolver(families):
        Path("/etc/resolv.conf").write_text(text)
    say(f"network: {name} " + ", ".join(str(one.address) for one in families))


def _up(card: str) -> None:
    flags = _read(Path("/sys/class/net") / card / "flags")
    if not (flags.startswith("0x") and int(flags, 16) & _IFF_UP):
        _ip(["ip", "link", "set", "dev", card, "up"])


def _ip(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Temporary(f"{' '.join(command)}: {error}") from None
    if done.returncode:
        raise Temporary(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()[:200]}")


def _read(path: Path) -> str:
    # A card that is down answers a read of its carrier with an error.
    with suppress(OSError):
        return path.read_text().strip()
    return ""
