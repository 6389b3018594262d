"""Names of connections that are unique everywhere and for ever: `PREFIX_COOKIE`, as all data of the platform has them.

The prefix is the pod's name and the boot time of its machine; the cookie is the kernel's number of the socket, which
it gives once per boot. Boot time is now minus uptime, and rounding makes it unstable: it is worked out once per pod,
kept in a file, and every program of the pod reads that file. Nothing here makes up a prefix of its own: two programs
that did would name one connection twice.
"""

from __future__ import annotations

import math
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

SO_COOKIE = 57
"""The socket module has no name for it."""
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*_[0-9]+")


class UuidError(Exception):
    """No name can be given, and why."""


def boot_time_s(now_s: float, uptime: str) -> int:
    """Seconds since 1970 at which the machine started, out of what /proc/uptime holds."""
    fields = uptime.split()
    try:
        return math.floor(now_s - float(fields[0]))
    except (IndexError, ValueError, OverflowError):
        raise UuidError(f"/proc/uptime: {uptime[:40]!r} does not start with a number of seconds") from None


def new_prefix(environment: Mapping[str, str], now_s: float, uptime: str) -> str:
    """What a new pod's connections are named by: `POD_NAME`, or without one the host's name, and the boot time."""
    name = environment.get("POD_NAME") or socket.gethostname()
    return checked(f"{name}_{boot_time_s(now_s, uptime)}", "POD_NAME or the host's name")


def checked(prefix: str, where: str) -> str:
    """The prefix, if it is one. It becomes part of file names."""
    if not _WELL_FORMED.fullmatch(prefix):
        raise UuidError(f"{where}: {prefix[:100]!r} is no prefix such as ndt-abc12_1795366319")
    return prefix


def read_prefix(path: Path) -> str:
    """The prefix that a pod's init container has written; white space around it does not count."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UuidError(f"cannot read the prefix file: {error}; run create-uuid-prefix-file first") from None
    return checked(data.decode(errors="replace").strip(), str(path))


def of_cookie(prefix: str, cookie: int) -> str:
    """The name of the socket with this cookie (unsigned)."""
    return f"{prefix}_{cookie:016X}"


def cookie_of(connection: socket.socket) -> int:
    """The kernel's number of an open socket. Raises `UuidError` for anything else."""
    try:
        return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder)
    except OSError as error:
        raise UuidError(f"no cookie: {error}") from None


def of_socket(prefix: str, connection: socket.socket) -> str:
    """The name of an open socket."""
    return of_cookie(prefix, cookie_of(connection))
