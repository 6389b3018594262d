"""Rows of a database and the values that they hold, the same for every database.

Documents are JSON text that only this program reads: no database parses them, so that none has a say in what a machine
may have reported of itself.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec

from services.epoxy import locks, records, sessions

OBSERVED_COLUMNS = (
    "update_enabled",
    "current_session_ids",
    "last_session_creation_ns",
    "last_report_ns",
    "last_success_ns",
    "collected_information",
    "next_boot",
)
HOST_COLUMNS = f"document, revision, {', '.join(OBSERVED_COLUMNS)}"
LOCK_COLUMNS = ", ".join(field.name for field in dataclasses.fields(locks.Lock))
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(sessions.Boot)


def document(desired: records.Desired) -> str:
    """The administrator's half as text."""
    return json.dumps(desired.json(), separators=(",", ":"))


def observed(seen: records.Observed) -> tuple[object, ...]:
    """The server's half, in the order of `OBSERVED_COLUMNS`."""
    return (
        int(seen.update_enabled),
        json.dumps(dict(seen.current_session_ids)),
        seen.last_session_creation_ns,
        seen.last_report_ns,
        seen.last_success_ns,
        json.dumps(dict(seen.collected_information)),
        None if seen.next_boot is None else json.dumps(dataclasses.asdict(seen.next_boot)),
    )


def host(row: tuple[Any, ...]) -> records.Host:
    """A record out of `HOST_COLUMNS`."""
    text, revision, update_enabled, digests, boot_ns, report_ns, success_ns, collected, next_boot = row
    data = json.loads(text)
    desired = records.Desired(
        name=data["Name"],
        ipv4_addr=data["IPv4Addr"],
        boot=data["Boot"],
        update=data["Update"],
        images_version=data["ImagesVersion"],
        extensions=tuple(data["Extensions"]),
        retired=data["Retired"],
        protect=data["Protect"],
        owner=None if data["Owner"] is None else records.Mark(**data["Owner"]),
        callers=tuple(data.get("Callers", ())),
    )
    seen = records.Observed(
        update_enabled=bool(update_enabled),
        current_session_ids=json.loads(digests),
        last_session_creation_ns=boot_ns,
        last_report_ns=report_ns,
        last_success_ns=success_ns,
        collected_information=json.loads(collected),
        next_boot=None if next_boot is None else records.NextBoot(**json.loads(next_boot)),
    )
    return records.Host(desired, seen, revision)


def encoded(boot: sessions.Boot) -> bytes:
    return _ENCODER.encode(boot)


def boot(document: bytes) -> sessions.Boot:
    return _DECODER.decode(document)
