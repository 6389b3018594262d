"""A whole zone in one go (AXFR, RFC 5936), signed with TSIG (RFC 8945) from the first message to the last.

One consistent state of the zone, however large, for one question; nothing is asked record by record.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig

from reconcilers.core.errors import Permanent, Temporary
from reconcilers.providers.dns import wire as dns_wire
from reconcilers.providers.dns.records import Contents, Key, RecordSet
from reconcilers.providers.time_limits import Limits


def transfer(server: tuple[str, int], zone: str, key: dns.tsig.Key, limits: Limits) -> Contents:
    """All record sets of a zone but what a signing server adds. Raises `Temporary` or `Permanent`."""
    where = f"transfer of {zone} from {server[0]}:{server[1]}"
    query = dns.message.make_query(zone, dns.rdatatype.AXFR)
    query.use_tsig(key)
    wire = query.to_wire()
    gathered: dict[Key, tuple[int, list[str]]] = {}
    try:
        with socket.create_connection(server, timeout=limits.connect_s) as connection:
            connection.settimeout(limits.read_s)
            connection.sendall(struct.pack("!H", len(wire)) + wire)
            signed = _Signature(key, query.mac or b"")
            for records in _sections(connection, signed, query.id, where, limits):
                for name, kind, ttl_s, value in records:
                    found = gathered.setdefault((name, kind), (ttl_s, []))
                    found[1].append(value)
    except TimeoutError:
        raise Temporary(f"{where}: no answer within {limits.read_s:g} s") from None
    except OSError as error:
        raise Temporary(f"{where}: {error.strerror or error}") from None
    return {key: RecordSet(ttl_s, tuple(values)) for key, (ttl_s, values) in gathered.items()}


def _sections(connection: socket.socket, signed: _Signature, number: int, where: str, limits: Limits) -> Iterator[Any]:
    """The answers of each message, up to the second SOA record, which is left out."""
    # The limit of reading holds for each piece only: a server that drips would otherwise hold a worker for ever.
    deadline = time.monotonic() + limits.total_s
    began = False
    while True:
        if time.monotonic() > deadline:
            raise Temporary(f"{where}: it did not end within {limits.total_s:g} s")
        wire = _exactly(connection, struct.unpack("!H", _exactly(connection, 2, where))[0], where)
        message = dns_wire.parse(wire)
        if message.rcode or message.id != number:
            signed.explain(wire, message, where)
        records = list(message.answer)
        if not began and (not records or records[0][1] != "SOA"):
            raise Temporary(f"{where}: it does not start with the zone's SOA record")
        ended = any(record[1] == "SOA" for record in records[0 if began else 1 :])
        began = True
        signed.check(wire, message, where, last=ended)
        yield records[:-1] if ended else records
        if ended:
            return


@dataclass(slots=True)
class _Signature:
    """The running check over all messages; a server may sign every hundredth only, the first and the last always."""

    key: dns.tsig.Key
    mac: bytes
    context: Any = field(default=None)

    def check(self, wire: bytes, message: dns_wire.Message, where: str, *, last: bool) -> None:
        """Raise `Permanent` if what came so far is not signed with our key."""
        if message.signature is None:
            if self.context is None or last:
                raise Permanent(f"{where}: the answer is not signed; check that the server knows the key {self._name}")
            self.context.update(wire)
            return
        at = message.signature
        owner, used = dns.name.from_wire(wire, at)
        kind, _, _, length = struct.unpack_from("!HHIH", wire, at + used)
        rdata = dns.rdata.from_wire(dns.rdataclass.ANY, kind, wire, at + used + 10, length)
        try:
            now = int(time.time())
            self.context = dns.tsig.validate(  # type: ignore[no-untyped-call]
                wire, self.key, owner, rdata, now, self.mac, at, ctx=self.context, multi=True
            )
        except dns.tsig.BadTime:
            raise Permanent(f"{where}: the server's clock and ours differ by minutes; set them right") from None
        except dns.exception.DNSException as error:
            why = str(error) or type(error).__name__
            raise Permanent(f"{where}: signature: {why}; check the key {self._name} at both ends") from None

    def explain(self, wire: bytes, message: dns_wire.Message, where: str) -> None:
        """Raise for a refusal, with the reason that its signature record gives, if any."""
        if message.signature is not None:
            self.check(wire, message, where, last=True)
        raise refusal(message.rcode, where)

    @property
    def _name(self) -> str:
        return str(self.key.name.to_text(omit_final_dot=True))


def refusal(rcode: int, where: str) -> Permanent | Temporary:
    """The error for a response code."""
    name = dns.rcode.to_text(dns.rcode.Rcode.make(rcode)) if rcode else "an answer to another question"
    if rcode in (dns.rcode.NOERROR, dns.rcode.SERVFAIL):
        return Temporary(f"{where}: {name}")
    hint = {
        dns.rcode.REFUSED: "the key may not do that there; see the server's allow-transfer and update-policy",
        dns.rcode.NOTAUTH: "the server does not serve this zone, or does not know the key",
        dns.rcode.NXDOMAIN: "there is no such zone",
    }.get(dns.rcode.Rcode.make(rcode), "see the server's log")
    return Permanent(f"{where}: {name}: {hint}")


def _exactly(connection: socket.socket, size: int, where: str) -> bytes:
    content = bytearray()
    while len(content) < size:
        piece = connection.recv(size - len(content))
        if not piece:
            raise Temporary(f"{where}: the server closed the connection after {len(content)} of {size} bytes")
        content += piece
    return bytes(content)
