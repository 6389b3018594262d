"""Free ports of the loopback, and proof that a port is held by the process that was meant to have it.

A port is picked below the range from which the kernel serves outgoing connections, so that no client takes it
between the pick and the start. The race against another platform is settled by proof, not by hope: a start counts
only when the started process itself listens (`listening`), and is tried again with other ports when it lost.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

from services.local.errors import PlatformError

LOWEST = 10240
TRIES = 2000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LISTEN = "0A"


def free(count: int, address: str = "127.0.0.1") -> tuple[int, ...]:
    """`count` different ports on which nothing listens now."""
    highest = int(EPHEMERAL.read_text().split()[0]) - 1
    candidates = random.SystemRandom().sample(range(LOWEST, highest), min(TRIES, highest - LOWEST))
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((address, port))
            except OSError as error:
                if not isinstance(error, PermissionError) and error.errno == 99:
                    raise PlatformError(f"listen address {address} is no address of this machine") from None
                continue
            found.append(port)
    if len(found) < count:
        raise PlatformError(f"no {count} free ports on {address} between {LOWEST} and {highest}")
    return tuple(found)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def listening(pid: int) -> frozenset[int]:
    """TCP ports on which exactly this process listens, in its own network namespace; empty if it is gone."""
    try:
        held = {_target(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
        tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    except OSError:
        return frozenset()
    rows = (line.split() for table in tables for line in table)
    return frozenset(
        int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTEN and f"socket:[{row[9]}]" in held
    )
