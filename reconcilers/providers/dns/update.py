"""A name server that takes dynamic updates (RFC 2136), signed with TSIG: BIND, Knot, PowerDNS and others.

One update message is one transaction: the server checks all prerequisites, exact values included, before it changes
anything, and raises the serial by itself. The reference of the key names a file in the form that BIND's own tools
read (`key NAME { algorithm hmac-sha256; secret …; };`), so that `nsupdate -k` and `named` take the same one.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from reconcilers.core.errors import Conflict, Permanent, Temporary, one_line
from reconcilers.providers import secrets, time_limits
from reconcilers.providers.dns import transfer as dns_transfer
from reconcilers.providers.dns.records import Contents, Key, Limits, RecordSet, Swap

LIMITS = time_limits.Limits(connect_s=5.0, read_s=20.0, total_s=60.0)
MESSAGE_BYTES = 60_000
"""A message may have 65,535 bytes; what a transaction takes is estimated from above."""
RECORD_SETS = 1_000

_CLAUSE = re.compile(
    r'\s*key\s+"?(?P<name>[A-Za-z0-9._-]+)"?\s*\{\s*algorithm\s+"?(?P<algorithm>[a-z0-9-]+)"?\s*;'
    r'\s*secret\s+"(?P<secret>[A-Za-z0-9+/=]+)"\s*;\s*\}\s*;\s*'
)
_MOVED = frozenset({dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN})


class UpdateServer:
    """One primary server; implements `dns_records.Backend`."""

    def __init__(
        self,
        server: str,
        key: str | Mapping[str, Any],
        ask: Sequence[tuple[str, int]],
        bounds: time_limits.Limits = LIMITS,
    ) -> None:
        self._server = address(server)
        self._reference = key
        self._ask = tuple(ask) or (self._server,)
        self._bounds = bounds

    def read(self, zone: str) -> Contents:
        """By zone transfer."""
        return dns_transfer.transfer(self._server, zone, self._key(), self._bounds)

    def get(self, zone: str, key: Key) -> RecordSet | None:
        """By a signed query."""
        name, kind = key
        query = dns.message.make_query(name, kind, flags=0)
        answer = self._exchange(query, f"query for {kind} {name} to {self._shown}")
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise dns_transfer.refusal(answer.rcode(), f"query for {kind} {name} to {self._shown}")
        wanted = (dns.name.from_text(name), dns.rdatatype.from_text(kind))
        for found in answer.answer:
            if (found.name, found.rdtype) == wanted:
                return RecordSet(found.ttl, tuple(rdata.to_text() for rdata in found))
        return None

    def swap(self, zone: str, swaps: Sequence[Swap]) -> None:
        """One update message."""
        where = f"update of {zone} at {self._shown}"
        message = dns.update.UpdateMessage(zone)
        try:
            for swap in swaps:
                _require(message, swap)
            changed = [swap for swap in swaps if swap.before != swap.after]
            # What goes, goes first: an address added beside an alias is ignored without a word (RFC 2136, 3.4.2.2).
            for swap in changed:
                if swap.before is not None:
                    message.delete(dns.name.from_text(swap.key[0]), swap.key[1])
            for swap in changed:
                _add(message, swap)
            answer = self._exchange(message, where)
        except dns.exception.TooBig:
            raise Permanent(f"{where}: {len(swaps)} record sets do not fit in one message of 65,535 bytes") from None
        code = answer.rcode()
        if code in _MOVED:
            raise Conflict(f"{where}: {dns.rcode.to_text(code)}: something changed since it was observed")
        if code != dns.rcode.NOERROR:
            raise dns_transfer.refusal(code, where)

    def limits(self) -> Limits:
        """What fits in one message."""
        return Limits(RECORD_SETS, RECORD_SETS, MESSAGE_BYTES)

    def pending(self, zone: str) -> str:
        """An answer to an update means that it is done."""
        return ""

    def servers(self, zone: str) -> Sequence[tuple[str, int]]:
        """The configured ones, or the one that takes the updates."""
        return self._ask

    def close(self) -> None:
        """Each exchange has a connection of its own."""

    def _exchange(self, message: dns.message.Message, where: str) -> dns.message.Message:
        message.use_tsig(self._key())
        host, port = self._server
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]
            # By TCP: an answer by UDP would be cut at a kilobyte, and an update is not to be sent twice.
            answer = dns.query.tcp(message, str(found), timeout=self._bounds.read_s, port=port)
        except dns.exception.TooBig:
            raise
        except dns.exception.Timeout:
            raise Temporary(f"{where}: no answer within {self._bounds.read_s:g} s") from None
        except (dns.tsig.BadTime, dns.tsig.PeerBadTime):
            raise Permanent(f"{where}: the server's clock and ours differ by minutes; set them right") from None
        except (dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadAlgorithm, dns.tsig.PeerError) as error:
            why = one_line(str(error) or type(error).__name__, 120)
            raise Permanent(f"{where}: signature: {why}; check the key at both ends") from None
        except (dns.exception.DNSException, EOFError, ValueError) as error:
            raise Temporary(f"{where}: {one_line(str(error) or type(error).__name__, 160)}") from None
        except OSError as error:
            raise Temporary(f"{where}: {error.strerror or error}") from None
        if not answer.had_tsig:
            raise Permanent(f"{where}: the answer is not signed; check that the server knows the key")
        return answer

    @property
    def _shown(self) -> str:
        return f"{self._server[0]}:{self._server[1]}"

    def _key(self) -> dns.tsig.Key:
        """Read anew for each exchange, so that a rotation needs no restart."""
        return read_key(self._reference)


def read_key(reference: str | Mapping[str, Any]) -> dns.tsig.Key:
    """The key behind a reference. Raises `Permanent` without any part of it."""
    found = secrets.resolve(reference)
    clause = _CLAUSE.fullmatch(found.reveal())
    if clause is None:
        raise Permanent(f'secret {found.ref}: it must be one clause: key "NAME" {{ algorithm …; secret "…"; }};')
    secrets.register(clause["secret"])
    try:
        return dns.tsig.Key(clause["name"], clause["secret"], clause["algorithm"])
    except (ValueError, dns.exception.DNSException):
        raise Permanent(f"secret {found.ref}: its secret is no base64, or its algorithm is unknown") from None


def address(text: str, default_port: int = 53) -> tuple[str, int]:
    """`HOST`, `HOST:PORT`, `[IPV6]:PORT`."""
    found = re.fullmatch(r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::(?P<port6>\d+))?|(?P<host>[^:\s]+)(?::(?P<port>\d+))?", text)
    if found is None:
        raise Permanent(f"{text}: no address of a name server; write HOST:PORT or [IPV6]:PORT")
    return found["six"] or found["host"], int(found["port6"] or found["port"] or default_port)


def _require(message: dns.update.UpdateMessage, swap: Swap) -> None:
    name, kind = swap.key
    owner = dns.name.from_text(name)
    if swap.before is None:
        message.absent(owner, kind)
        return
    for value in swap.before.values:
        message.present(owner, _rdata(kind, value))


def _add(message: dns.update.UpdateMessage, swap: Swap) -> None:
    name, kind = swap.key
    if swap.after is not None:
        for value in swap.after.values:
            message.add(dns.name.from_text(name), swap.after.ttl_s, _rdata(kind, value))


def _rdata(kind: str, value: str) -> dns.rdata.Rdata:
    try:
        # Nearly all are addresses: the library's parser for any type takes ten times as long for one.
        if kind == "A":
            return A(dns.rdataclass.IN, dns.rdatatype.A, value)  # type: ignore[no-untyped-call]
        if kind == "AAAA":
            return AAAA(dns.rdataclass.IN, dns.rdatatype.AAAA, value)  # type: ignore[no-untyped-call]
        return dns.rdata.from_text(dns.rdataclass.IN, kind, value, dns.name.root, relativize=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise Permanent(f"{value[:60]}: no value of a {kind} record: {error}") from None
