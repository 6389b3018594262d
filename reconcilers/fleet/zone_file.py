"""A zone as text, in the master file format of RFC 1035 and the very columns of the public platform's files.

Readers of those files go by columns and by the first letters of a line (`s1` for a switch), so both are kept. There is
no SOA and no NS of the zone itself: a hosted zone has its own, and whoever serves the file writes them above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconcilers.fleet.zones import RecordSet, Zone

_NOTE = "; Made from the fleet's configuration; a change by hand is overwritten."


def text(zone: Zone) -> str:
    """The whole file: a record a line, in the order of the zone."""
    lines = [_NOTE, "", f"$ORIGIN {zone.domain}.", f"$TTL    {zone.ttl_s}", ""]
    for record in zone.records:
        if record.type == "A" and len(record.values) == 1 and record.ttl_s == zone.ttl_s:
            lines.append(f"{record.name:<32}  IN  A   \t{record.values[0]}")
        elif record.type == "AAAA" and len(record.values) == 1 and record.ttl_s == zone.ttl_s:
            lines.append(f"{record.name:<32}  IN  AAAA\t{record.values[0]}")
        else:
            lines.extend(_any(record, zone.ttl_s))
    lines.append("")
    return "\n".join(lines)


def _any(record: RecordSet, ttl_s: int) -> Iterator[str]:
    """The rarer forms: several values, a time to live of its own, other types."""
    own = "" if record.ttl_s == ttl_s else f"{record.ttl_s} "
    for value in record.values:
        yield f"{record.name:<32}  {own}IN  {record.type:<4}\t{value}"
