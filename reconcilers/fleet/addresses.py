"""Addresses out of a site's prefix and an index: the arithmetic that every part of the platform repeats.

A physical site has one IPv4 prefix (/26: four machines, /28 and /29: one) and at most one IPv6 prefix. Every address
is the network address plus an offset; the IPv6 text is the prefix followed by the *decimal digits* of the last IPv4
octet, read again as hexadecimal, so that both families look alike (`.24` and `::24`). The node's own plug-in computes
the same from its boot parameters and an experiment's index: `index2ip` here, which must agree for every machine.

Integers inside, text outside: the whole fleet has some 13,500 addresses and `ipaddress` objects cost 4 µs each.
Nothing is checked here; the rules of the configuration (addresses in the prefix, unique, not broadcast) use `offsets`.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network

FULL_SITE = 26
MACHINES = (1, 2, 3, 4)
MAX_INDEX = 12
SLOTS = {26: 12, 28: 11, 29: 3}
"""Experiment indexes that fit a prefix of this length."""

GATEWAY = 1
SWITCH = 2
_STRIDE = 13
"""Addresses of one machine of a full site: its own and twelve experiments."""


def text4(number: int) -> str:
    """An IPv4 address in dotted form."""
    return f"{number >> 24 & 255}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def number4(text: str) -> int:
    """The inverse of `text4`, for text known to be an address."""
    a, b, c, d = text.split(".")
    return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)


def slots(prefix_length: int) -> int:
    """How many experiment indexes fit; 0 for a length that no site may have."""
    return SLOTS.get(prefix_length, 0)


def machine_offset(prefix_length: int, machine_index: int) -> int:
    """Where a machine stands in its prefix: 9, 22, 35, 48 in a /26; always 3 in a smaller one."""
    return (machine_index - 1) * _STRIDE + 9 if prefix_length == FULL_SITE else 3


def bmc_offset(prefix_length: int, machine_index: int) -> int:
    """Where a baseboard controller stands: after gateway and switch in a /26, after the gateway in a smaller one."""
    return machine_index + 3 if prefix_length == FULL_SITE else machine_index + 1


def experiment_offset(prefix_length: int, machine_index: int, index: int) -> int:
    """Where an experiment of a machine stands."""
    return machine_offset(prefix_length, machine_index) + index


def machine_index(name: str) -> int:
    """The digit of `mlab1`."""
    return int(name[4:])


def gateway(prefix: IPv4Network) -> str:
    """The site's IPv4 gateway."""
    return text4(int(prefix.network_address) + GATEWAY)


def switch(prefix: IPv4Network) -> str:
    """The switch; only meaningful where the site has one (in a small prefix this address is the first BMC's)."""
    return text4(int(prefix.network_address) + SWITCH)


def netmask(prefix_length: int) -> str:
    """A prefix length as a dotted mask."""
    return text4(0xFFFFFFFF << (32 - prefix_length) & 0xFFFFFFFF)


def broadcast(prefix: IPv4Network) -> str:
    """The last address of the prefix."""
    return text4(int(prefix.network_address) | (1 << (32 - prefix.prefixlen)) - 1)


def bmc(prefix: IPv4Network, machine: int) -> str:
    """The baseboard controller of a machine; it has no IPv6."""
    return text4(int(prefix.network_address) + bmc_offset(prefix.prefixlen, machine))


def machine4(prefix: IPv4Network, machine: int) -> str:
    """A machine's IPv4 address."""
    return text4(int(prefix.network_address) + machine_offset(prefix.prefixlen, machine))


def experiment4(prefix: IPv4Network, machine: int, index: int) -> str:
    """An experiment's IPv4 address on a machine."""
    return text4(int(prefix.network_address) + experiment_offset(prefix.prefixlen, machine, index))


def base6(prefix: IPv6Network) -> str:
    """The prefix's text before the slash, to which digits are added: ends in `::` for every allowed length."""
    return str(prefix.network_address)


def join6(base: str, number: int) -> str:
    """The IPv6 address at the last octet of the IPv4 address `number`: its decimal digits, read as hexadecimal."""
    return f"{base}{number & 255}"


def gateway6(prefix: IPv6Network, override: str | None = None) -> str:
    """The site's IPv6 gateway: the first address unless the site names another (an address, or digits after `::`)."""
    if override is None:
        return f"{base6(prefix)}1"
    return override if ":" in override else f"{base6(prefix)}{override}"


def machine6(prefix: IPv4Network, prefix6: IPv6Network | None, machine: int) -> str:
    """A machine's IPv6 address, or `""`: outputs have no null."""
    if prefix6 is None:
        return ""
    return join6(base6(prefix6), int(prefix.network_address) + machine_offset(prefix.prefixlen, machine))


def experiment6(prefix: IPv4Network, prefix6: IPv6Network | None, machine: int, index: int) -> str:
    """An experiment's IPv6 address on a machine, or `""`."""
    if prefix6 is None:
        return ""
    return join6(base6(prefix6), int(prefix.network_address) + experiment_offset(prefix.prefixlen, machine, index))


def index2ip(ipv4: str, ipv6: str, index: int) -> tuple[str, str]:
    """What the plug-in on the node makes of its own addresses and an index; `""` stays `""`.

    Raises `ValueError` where the plug-in fails: the octet overflows, or the last IPv6 group has a digit a-f.
    """
    head, _, octet = ipv4.rpartition(".")
    last = int(octet) + index
    if index <= 0 or last > 255:
        raise ValueError(f"{ipv4} has no index {index}: the last octet would be {last}, the limit is 255")
    if not ipv6:
        return f"{head}.{last}", ""
    number = int(IPv6Address(ipv6))
    digits = int(f"{number & 0xFFFF:x}", 10) + index
    group = int(str(digits), 16)
    if group > 0x7FFF:
        raise ValueError(f"{ipv6} has no index {index}: the last group would be {digits}, the limit is 7fff")
    return f"{head}.{last}", str(IPv6Address((number >> 16 << 16) | group))


def offsets(prefix_length: int, machines: tuple[int, ...], *, has_switch: bool) -> Iterator[tuple[str, int]]:
    """Every derived thing of a site and its offset: what must be distinct, inside, not network and not broadcast."""
    yield "gateway", GATEWAY
    if has_switch:
        yield "switch", SWITCH
    for machine in machines:
        yield f"BMC of mlab{machine}", bmc_offset(prefix_length, machine)
        yield f"mlab{machine}", machine_offset(prefix_length, machine)
        for index in range(1, slots(prefix_length) + 1):
            yield f"index {index} on mlab{machine}", experiment_offset(prefix_length, machine, index)


def default_project(site: str, machine_name: str) -> str:
    """The project of a machine whose file names none: test sites sandbox; else mlab4 staging and the others oti."""
    if site.endswith("t"):
        return "mlab-sandbox"
    return "mlab-staging" if machine_name == "mlab4" else "mlab-oti"
