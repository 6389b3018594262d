"""Record sets as values, and the one text form in which git's and a server's are compared.

A record set, all records of one name and type, is the unit: what is planned, written under a precondition, and asked
after. Names are absolute, in lower case and without the dot at the end; a host name inside a value has one.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdtypes.ANY.TXT import TXT

from reconcilers.core.errors import Permanent
from reconcilers.core.model import Id

Key = tuple[str, str]
"""Name and type: `("mlab1-lga05.mlab-oti.measurement-lab.test", "A")`."""

TEXT_LIMIT = 255
"""Bytes of one string of a TXT record (RFC 1035, 3.3.14)."""
_FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}
_QUOTED = re.compile(r'"[^"]*"(?: "[^"]*")*')
_HOLD_NAMES = frozenset({"CNAME", "DNAME", "MX", "NS", "PTR", "SRV"})


@dataclass(frozen=True, slots=True)
class RecordSet:
    """Time to live in seconds, and values in the form that zone files have."""

    ttl_s: int
    values: tuple[str, ...]


Contents = Mapping[Key, RecordSet]
"""Everything in a zone, values as the server gave them."""


@dataclass(frozen=True, slots=True)
class Swap:
    """One record set: what must be there now, and what is there afterwards; None: nothing of that name and type.

    With both equal nothing is written: it is a condition for its companions.
    """

    key: Key
    before: RecordSet | None
    after: RecordSet | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one transaction may hold: record sets that come, that go, and bytes of all of them."""

    additions: int
    deletions: int
    size_bytes: int


class Backend(Protocol):
    """A server of zones. Errors are `Temporary`, `Permanent` or `Conflict`; after a `Temporary` a swap may be done."""

    def read(self, zone: str) -> Contents:
        """All of a zone."""

    def get(self, zone: str, key: Key) -> RecordSet | None:
        """One record set, from the server that takes the writes."""

    def swap(self, zone: str, swaps: Sequence[Swap]) -> None:
        """All of them or none. Raises `Conflict` if something is not what was to be there."""

    def limits(self) -> Limits:
        """Asked after a `read`. No I/O."""

    def pending(self, zone: str) -> str:
        """What a swap still waits for before the zone's servers answer by it; empty if nothing."""

    def servers(self, zone: str) -> Sequence[tuple[str, int]]:
        """Addresses and ports of the servers whose answers count; empty where nobody is to be asked."""

    def close(self) -> None:
        """Give back connections."""


def canonical(kind: str, value: str) -> str:
    """The one form of a value: addresses as the C library writes them, names in lower case, texts cut at 255 bytes.

    Raises `Permanent` for what is no value of this type.
    """
    family = _FAMILIES.get(kind)
    if family is not None:
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, value))
        except OSError:
            raise Permanent(f"{value}: no address of an {kind} record") from None
    try:
        rdata = dns.rdata.from_text(dns.rdataclass.IN, kind, value, dns.name.root, relativize=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise Permanent(f"{value[:60]}: no value of a {kind} record: {error}") from None
    if isinstance(rdata, TXT):
        return text(b"".join(rdata.strings))
    shown = rdata.to_text()
    return shown.lower() if kind in _HOLD_NAMES else shown


def text(content: bytes) -> str:
    """A TXT value that holds these bytes, cut into strings of at most 255."""
    parts = [content[start : start + TEXT_LIMIT] for start in range(0, len(content), TEXT_LIMIT)] or [b""]
    return strings(parts)


def strings(parts: Iterable[bytes]) -> str:
    """A TXT value of these strings."""
    return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, parts).to_text()


def content(value: str) -> bytes:
    """The joined strings of a TXT value."""
    return b"".join(strings_of(value))


def strings_of(value: str) -> tuple[bytes, ...]:
    """The strings of a TXT value."""
    if "\\" not in value and _QUOTED.fullmatch(value):
        return tuple(part.encode() for part in value[1:-1].split('" "'))
    rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, value)
    assert isinstance(rdata, TXT)
    return tuple(rdata.strings)


def spec(kind: str, found: RecordSet) -> dict[str, Any]:
    """The owned fields of a resource: `ttl` in seconds, and `rrdatas`, canonical and sorted."""
    if len(found.values) == 1:
        return {"ttl": found.ttl_s, "rrdatas": [canonical(kind, found.values[0])]}
    return {"ttl": found.ttl_s, "rrdatas": sorted({canonical(kind, value) for value in found.values})}


def of_spec(wanted: Mapping[str, Any]) -> RecordSet:
    """The record set that a normalised spec describes."""
    return RecordSet(int(wanted["ttl"]), tuple(wanted["rrdatas"]))


def same(kind: str, one: RecordSet | None, other: RecordSet | None) -> bool:
    """Equal but for order and notation."""
    if one is None or other is None:
        return one is other
    return one == other or spec(kind, one) == spec(kind, other)


def within(name: str, zone: str) -> bool:
    """Whether a name is the zone's own or below it."""
    return name == zone or name.endswith(f".{zone}")


def identify(zone: str, key: Key) -> Id:
    """`A/ZONE/NAME`: the zone is part of the id, because a delegation has the name of the zone below it."""
    name, kind = key
    return Id(kind, f"{zone}/{'@' if name == zone else name.removesuffix(f'.{zone}')}")


def place(identity: Id) -> tuple[str, Key]:
    """The zone and the key of an id."""
    zone, _, name = identity.name.partition("/")
    return zone, (zone if name == "@" else f"{name}.{zone}", identity.kind)
