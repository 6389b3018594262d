"""What the servers of a zone say to anybody who asks: the last proof that a change is what clients see.

Questions go to every server that counts for the zone, over one connection each and many at a time; a server that does
not answer yet, or answers by an older state of the zone, is asked again by whoever waits.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from reconcilers.core.errors import Temporary
from reconcilers.providers.dns import records
from reconcilers.providers.dns import wire as dns_wire
from reconcilers.providers.dns.records import Backend, Key, RecordSet

TIMEOUT_S = 5.0
AT_ONCE = 100
PAUSE_S = 0.2
_NXDOMAIN = 3

Name = tuple[str, Key]
"""A record set by zone and key."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to be answered; None: nothing of this name and type, and nothing like `gone`."""

    value: RecordSet | None
    gone: RecordSet | None = None


class Answers:
    """What one run wrote and has yet to hear."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._expected: dict[Name, Expected] = {}
        self._open: dict[Name, str] = {}
        self._next = 0.0

    def expect(self, zone: str, key: Key, value: RecordSet | None, *, gone: RecordSet | None = None) -> None:
        """After a write: this is what is to be answered."""
        self._expected[zone, key] = Expected(value, gone)
        self._open[zone, key] = "not asked yet"

    def missing(self, zone: str, key: Key) -> str:
        """What is not as written yet; empty if all servers answer by it. Asks for everything open, not too often."""
        if (zone, key) in self._open and time.monotonic() >= self._next:
            self._ask(self._open)
            self._next = time.monotonic() + PAUSE_S
        return self._open.get((zone, key), "")

    def ask_open(self) -> Mapping[Name, str]:
        """Ask for everything open once; what is still not as written, each with what stands in the way."""
        self._ask(self._open)
        return self._open

    def _ask(self, names: Collection[Name]) -> None:
        by_zone: dict[str, list[Key]] = defaultdict(list)
        for zone, key in names:
            by_zone[zone].append(key)
        for zone, keys in by_zone.items():
            waits = self._backend.pending(zone)
            found = dict.fromkeys(keys, waits) if waits else self._wrong(zone, keys)
            for key in keys:
                if found.get(key):
                    self._open[zone, key] = found[key]
                else:
                    self._open.pop((zone, key), None)

    def compare(self, zone: str, wanted: Mapping[Key, RecordSet]) -> list[str]:
        """Ask for record sets that were not written; one line for each answer that differs."""
        expected = {key: Expected(value) for key, value in wanted.items()}
        return [f"{server}: {why}" for server, _, why in self._differences(zone, expected)]

    def _wrong(self, zone: str, keys: Sequence[Key]) -> dict[Key, str]:
        expected = {key: self._expected[zone, key] for key in keys}
        try:
            return {key: f"{server}: {why}" for server, key, why in self._differences(zone, expected)}
        except Temporary as error:
            return dict.fromkeys(keys, str(error))

    def _differences(self, zone: str, expected: Mapping[Key, Expected]) -> Iterator[tuple[str, Key, str]]:
        for server in self._backend.servers(zone):
            shown = f"{server[0]}:{server[1]}"
            for key, answer in ask(server, list(expected)):
                why = _difference(key, answer, expected[key])
                if why:
                    yield shown, key, why


def ask(server: tuple[str, int], keys: Sequence[Key]) -> Iterator[tuple[Key, dns_wire.Message]]:
    """Put many questions to one server, each without a wish for recursion. Raises `Temporary`."""
    where = f"{server[0]}:{server[1]}"
    try:
        with closing(socket.create_connection(server, timeout=TIMEOUT_S)) as connection:
            for start in range(0, len(keys), AT_ONCE):
                part = keys[start : start + AT_ONCE]
                wires = [dns_wire.question(number, *key) for number, key in enumerate(part)]
                connection.sendall(b"".join(struct.pack("!H", len(wire)) + wire for wire in wires))
                with connection.makefile("rb") as stream:
                    for _ in part:
                        message = dns_wire.parse(stream.read(struct.unpack("!H", stream.read(2))[0]))
                        yield part[message.id], message
    except TimeoutError:
        raise Temporary(f"{where}: no answer within {TIMEOUT_S:g} s") from None
    except (OSError, struct.error, IndexError) as error:
        raise Temporary(f"{where}: {getattr(error, 'strerror', None) or 'the connection ended early'}") from None


def _difference(key: Key, answer: dns_wire.Message, expected: Expected) -> str:
    name, kind = key
    if answer.rcode not in (0, _NXDOMAIN):
        return f"{kind} {name}: response code {answer.rcode}"
    found = _set(answer.answer, key)
    referred = {record[0] for record in answer.authority if record[1] == "NS"} if not answer.answer else set()
    if kind == "NS" and found is not None:
        return ""  # the zone below is on the same server, which answers by that one
    if found is None and kind == "NS":
        found = _set(answer.authority, key)  # a delegation is answered by a referral
    elif found is None and not answer.flags & dns_wire.AUTHORITATIVE:
        if any(records.within(name, zone) for zone in referred):
            return ""  # below a delegation: another server answers for it
        return f"{kind} {name}: the server does not answer for this zone"
    if expected.value is None:
        # A wildcard may answer for what is gone.
        stays = found is not None and (expected.gone is None or records.same(kind, found, expected.gone))
        return f"{kind} {name}: still answered" if stays else ""
    if found is None:
        return f"{kind} {name}: not answered"
    if not records.same(kind, found, expected.value):
        return f"{kind} {name}: answered with {', '.join(found.values)[:80]} (time to live {found.ttl_s} s)"
    return ""


def _set(section: Sequence[dns_wire.Record], key: Key) -> RecordSet | None:
    found = [record for record in section if (record[0], record[1]) == key]
    return RecordSet(found[0][2], tuple(record[3] for record in found)) if found else None
