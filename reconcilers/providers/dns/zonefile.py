"""Zones as files (RFC 1035, 5) for a server that reads them from a disk: one `<zone>.zone` in a directory.

A transaction is a new file: the zone as it stands, changed, with the next serial (RFC 1982), accepted by BIND's
`named-checkzone`, flushed, and renamed over the former one. Two writers take turns by a lock of the file system, so
that the condition of a transaction and its rename are one step. Whoever serves the zone notices the new serial.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import dns.exception
import dns.name
import dns.rdatatype
import dns.zone

from reconcilers.core.errors import Conflict, Permanent, Temporary, one_line
from reconcilers.providers import whole_files
from reconcilers.providers.dns import records
from reconcilers.providers.dns.records import Contents, Key, Limits, RecordSet, Swap

CHECK_S = 60.0
_MANY = 1 << 30
_SERIAL = 2
"""Place of the serial in a SOA record's value."""


class ZoneFiles:
    """A directory of zone files; implements `dns_records.Backend`."""

    def __init__(self, directory: Path, checkzone: str, ask: Sequence[tuple[str, int]]) -> None:
        self._directory = directory
        self._checkzone = checkzone
        self._ask = tuple(ask)

    def read(self, zone: str) -> Contents:
        """Parse the file."""
        path = self._path(zone)
        try:
            with path.open(encoding="utf-8") as file:
                return _parsed(zone, file.read())
        except FileNotFoundError:
            raise Permanent(f"{path}: no such zone file; create it with the zone's SOA and NS records") from None
        except OSError as error:
            raise Temporary(f"{path}: {error.strerror}") from None
        except (dns.exception.DNSException, UnicodeDecodeError, ValueError) as error:
            raise Permanent(f"{path}: not a zone file: {one_line(str(error), 160)}") from None

    def get(self, zone: str, key: Key) -> RecordSet | None:
        """From the whole file."""
        return self.read(zone).get(key)

    def swap(self, zone: str, swaps: Sequence[Swap]) -> None:
        """Replace the file."""
        with self._turn(zone):
            contents = dict(self.read(zone))
            for swap in swaps:
                if not records.same(swap.key[1], contents.get(swap.key), swap.before):
                    raise Conflict(f"{self._path(zone)}: {swap.key[1]} {swap.key[0]} changed since it was observed")
            changed = [swap for swap in swaps if swap.before != swap.after]
            for swap in changed:
                if swap.after is None:
                    contents.pop(swap.key, None)
                else:
                    contents[swap.key] = swap.after
            if changed:
                self._replace(zone, contents)

    def limits(self) -> Limits:
        """A file holds anything, and is written as a whole: the fewer transactions the better."""
        return Limits(_MANY, _MANY, _MANY)

    def pending(self, zone: str) -> str:
        """When a server takes the file is not known here; its answers tell."""
        return ""

    def servers(self, zone: str) -> Sequence[tuple[str, int]]:
        """The configured ones."""
        return self._ask

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, zone: str) -> Path:
        return self._directory / f"{zone}.zone"

    def _replace(self, zone: str, contents: dict[Key, RecordSet]) -> None:
        path = self._path(zone)
        content = written(zone, contents).encode()
        prefix = f".{zone}.new-"
        try:
            for left in self._directory.glob(f"{prefix}*"):
                left.unlink(missing_ok=True)  # of a killed run: nobody else has the turn
            mode = path.stat().st_mode & 0o777
        except OSError as error:
            raise whole_files.failure(error, path) from None
        whole_files.replace(
            path, content, prefix=prefix, mode=mode, accept=lambda unfinished: self._check(zone, str(unfinished))
        )

    def _check(self, zone: str, name: str) -> None:
        # Local integrity only: it would ask the world's servers about names outside of the zone.
        command = [self._checkzone, "-q", "-i", "local", zone, name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S, check=False)
            if done.returncode != 0:
                said = subprocess.run(
                    [word for word in command if word != "-q"],
                    capture_output=True,
                    text=True,
                    timeout=CHECK_S,
                    check=False,
                ).stdout
                why = one_line(said.replace(name, "the new file"), 240)
                raise Permanent(f"{self._path(zone)}: named-checkzone refuses what would be written: {why}")
        except FileNotFoundError:
            raise Permanent(f"{self._checkzone}: no such program; install BIND's utilities, or name its path") from None
        except subprocess.TimeoutExpired:
            raise Temporary(f"{self._path(zone)}: named-checkzone did not end within {CHECK_S:.0f} s") from None

    def _turn(self, zone: str) -> AbstractContextManager[None]:
        return whole_files.turn(self._directory / f".{zone}.guard", "targets.dns.directory")


def written(zone: str, contents: Contents) -> str:
    """The file: the SOA record with the next serial first, then all others by name; every line stands alone."""
    soa = contents.get((zone, "SOA"))
    if soa is None:
        raise Permanent(f"{zone}: its file has no SOA record; whoever serves the zone writes it")
    parts = soa.values[0].split()
    parts[_SERIAL] = str(next_serial(int(parts[_SERIAL])))
    lines = [f"{zone}. {soa.ttl_s} IN SOA {' '.join(parts)}"]
    for (name, kind), found in sorted(contents.items()):
        if kind != "SOA":
            lines.extend(f"{name}. {found.ttl_s} IN {kind} {value}" for value in sorted(found.values))
    return "\n".join(lines) + "\n"


def next_serial(serial: int) -> int:
    """One more, never 0 (RFC 1982)."""
    return (serial + 1) & 0xFFFFFFFF or 1


def _parsed(zone: str, text: str) -> Contents:
    found = dns.zone.from_text(text, zone, relativize=False)
    return {
        (name.to_text(omit_final_dot=True).lower(), str(dns.rdatatype.to_text(rdataset.rdtype))): RecordSet(
            rdataset.ttl, tuple(rdata.to_text() for rdata in rdataset)
        )
        for name, rdataset in found.iterate_rdatasets()
    }
