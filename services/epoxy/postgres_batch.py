"""Changes of many hosts in one transaction: read in two questions, changed in memory, written in three exchanges.

A function that refuses changes nothing of its host and does not disturb the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from services.epoxy import records, rows, sessions, store
from services.epoxy.postgres_connections import Connection

HOSTS = f"SELECT {rows.HOST_COLUMNS} FROM desired JOIN observed USING (name)"
_OBSERVE = f"UPDATE observed SET {', '.join(f'{column} = %s' for column in rows.OBSERVED_COLUMNS)} WHERE name = %s"
_LATEST = """SELECT host, document, numbers, began FROM boot JOIN (
  SELECT host, max(number) AS number, array_agg(number ORDER BY number DESC) AS numbers,
         array_agg(began_ns ORDER BY number DESC) AS began
  FROM boot WHERE host = ANY(%s) GROUP BY host
) AS latest USING (host, number)"""
_WRITE_BOOT = """INSERT INTO boot VALUES (%s, %s, %s, %s, %s) ON CONFLICT (host, number)
 DO UPDATE SET began_ns = excluded.began_ns, stage = excluded.stage, document = excluded.document"""
Began = dict[int, int]
"""When each kept boot of a host began, by its number."""


def states(db: Connection, names: Sequence[str]) -> tuple[dict[str, sessions.State], dict[str, Began]]:
    """Hosts with their latest boots, and when the kept ones began: two questions, however many hosts."""
    found = db.execute(HOSTS + " WHERE name = ANY(%s)", (list(names),)).fetchall()
    states = {host.desired.name: sessions.State(host, None) for host in map(rows.host, found)}
    began: dict[str, Began] = {name: {} for name in states}
    for name, document, numbers, instants in cast(
        list[tuple[str, bytes, list[int], list[int]]], db.execute(_LATEST, (list(names),)).fetchall()
    ):
        if name in states:
            states[name] = sessions.State(states[name].host, rows.boot(document), tuple(instants))
            began[name] = dict(zip(numbers, instants, strict=True))
    return states, began


@dataclass(frozen=True, slots=True)
class Batch:
    """Hosts of one transaction as the functions so far left them, and every boot that they wrote."""

    states: dict[str, sessions.State]
    began: dict[str, Began]
    boots: dict[tuple[str, int], sessions.Boot] = field(default_factory=dict)


def changed(batch: Batch, name: str, change: store.Change) -> sessions.State | Exception:
    """Apply one function to what the ones before it left."""
    before = batch.states.get(name)
    if before is None:
        return store.Absent(name)
    try:
        after = change(before)
    except Exception as refusal:
        return refusal
    boot, began = before.boot, batch.began[name]
    if after.boot is not None and after.boot != boot:
        boot = after.boot
        batch.boots[name, boot.number] = boot
        kept = {number: at_ns for number, at_ns in began.items() if number > boot.number - store.KEPT_BOOTS}
        began = batch.began[name] = kept | {boot.number: boot.began_ns}
    recent_ns = tuple(at_ns for _, at_ns in sorted(began.items(), reverse=True))
    host = records.Host(before.host.desired, after.host.observed, before.host.revision)
    batch.states[name] = sessions.State(host, boot, recent_ns)
    return after


def write(db: Connection, before: Mapping[str, records.Observed], batch: Batch) -> None:
    """Write what differs, in as few exchanges with the server as there are kinds of it."""
    after = {name: state.host.observed for name, state in batch.states.items()}
    observed = [(*rows.observed(seen), name) for name, seen in after.items() if seen != before[name]]
    boots = [
        (name, number, boot.began_ns, boot.stage.value, rows.encoded(boot))
        for (name, number), boot in batch.boots.items()
    ]
    surplus = [(name, number - store.KEPT_BOOTS) for name, number in batch.boots]
    with db.cursor() as cursor:
        cursor.executemany(_OBSERVE, observed)
        cursor.executemany(_WRITE_BOOT, boots)
        cursor.executemany("DELETE FROM boot WHERE host = %s AND number <= %s", surplus)
