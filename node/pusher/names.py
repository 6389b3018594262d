"""Names of objects, of the folders that become one bundle, and of machines; and what is strange about a file's name.

The archive's parsers read all of them, so they are those of the public platform to the byte. Names of files are bytes
to the kernel; here they are `str` with surrogates for what is no UTF-8, as `os.fsdecode` gives them.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import time

UNIFORM = re.compile(r"[a-z][a-z0-9]*")
_STRANGE = re.compile(r"[^a-zA-Z0-9/:._-]")
_DAY = re.compile(r"20[0-9][0-9]/[0-9]{2}/[0-9]{2}")
_GOOD = re.compile(_DAY.pattern + "(?:/[a-zA-Z0-9:_-][a-zA-Z0-9:._-]*)+")
"""Most names by far, in a tenth of the time."""
_MACHINE = r"(?P<machine>mlab[1-4]d?)"
_SITE = r"(?P<site>[a-z]{3}[0-9tc]{2})"
_DOMAIN = r"measurement-lab\.[a-z]+"
"""The public platform's ends in `org`, that of a fleet of our own in another word."""
_HOSTS = (
    re.compile(rf"(?:[a-z0-9.-]+[.-])?{_MACHINE}[.-]{_SITE}\.{_DOMAIN}"),
    re.compile(rf"(?:[a-z0-9-]+-)?{_MACHINE}-{_SITE}\.[a-z0-9-]+\.{_DOMAIN}(?:-[a-zA-Z0-9]+)?"),
    re.compile(
        r"(?:[a-z0-9-]+-)?(?P<site>[a-z]{3}[0-9]{1,10})-(?P<machine>[0-9a-f]{8})\.[a-z0-9]+\.[a-z0-9-]+"
        rf"\.{_DOMAIN}"
    ),
    re.compile(r"(?P<machine>third)-(?P<site>party)"),
)
_UNSAFE = re.compile(rb"[\x00-\x1f\x7f]")
MAX_OBJECT_BYTES = 1024


class UnknownMachine(Exception):
    """A name of a host that says neither machine nor site."""


def node(host: str) -> str:
    """`mlab1-abc01` of a host's name. Raises `UnknownMachine`."""
    for form in _HOSTS:
        if found := form.fullmatch(host):
            return f"{found['machine']}-{found['site']}"
    raise UnknownMachine(f"{host!r} is no name of a machine such as mlab1-abc01.mlab-oti.measurement-lab.org")


def key(name: str) -> str:
    """The folders that a file's bundle is for: the first three above it; `""` directly under the datatype."""
    return "/".join(name.split("/")[:-1][:3])


def lint(name: str) -> str:
    """What is strange about a file's name; `""`: nothing."""
    if _GOOD.fullmatch(name) and ".." not in name:
        return ""
    folder, _, base = name.rpartition("/")
    if posixpath.normpath(name) != name:
        return "is not in its shortest form"
    if base.startswith("."):
        return "is hidden"
    if ".." in name:
        return "has two dots in a row"
    if _STRANGE.search(name):
        return "has characters outside a-z A-Z 0-9 / : . _ -"
    if not _DAY.match(folder):
        return "does not begin with YYYY/MM/DD"
    return ""


def stamp(us: int) -> str:
    """`20261122T184512.034001Z` of microseconds since 1970."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(us // 1_000_000)) + f".{us % 1_000_000:06d}Z"


def tar(experiment: str, datatype: str, folder: str, us: int, machine: str) -> str:
    """The object of a bundle of files."""
    return _valid(f"{experiment}/{datatype}", folder, f"{stamp(us)}-{datatype}-{machine}-{experiment}.tgz")


def jsonl(prefix: str, experiment: str, datatype: str, day: str, us: int, machine: str) -> tuple[str, str]:
    """The objects of the lines of a day, and of their index."""
    base = f"{stamp(us)}-{datatype}-{machine}-{experiment}"
    return (
        f"{prefix}/{experiment}/{datatype}/{day}/{base}-data.jsonl.gz",
        f"{prefix}/{experiment}/index1/{day}/{base}-index1.jsonl.gz",
    )


def _valid(prefix: str, folder: str, base: str) -> str:
    """Any folder gives a name that the store takes: UTF-8 without control characters, at most 1024 bytes."""
    raw = os.fsencode(folder)
    try:
        raw.decode()
        safe = _UNSAFE.sub(lambda found: b"%%%02X" % ord(found[0]), raw)
    except UnicodeDecodeError:
        safe = re.sub(rb"[^\x20-\x7e]", lambda found: b"%%%02X" % ord(found[0]), raw)
    if len(prefix) + len(safe) + len(base) + 2 > MAX_OBJECT_BYTES:
        digest = hashlib.sha256(raw).hexdigest().encode()
        safe = safe[:600].decode(errors="ignore").encode() + b"-" + digest
    return "/".join(part for part in (prefix, safe.decode(), base) if part)


class Stamps:
    """Microseconds of the clock, none given twice, none before another: also when the clock is set back."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return self._last
