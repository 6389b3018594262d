"""Lifecycle rules carried out: what a bucket says shall be deleted or moved to a colder class, by age and the like.

The service looks at each object about once a day and lets a deletion win over a change of class. So does this server,
once an hour; a test does not wait for days but names the moment (`POST /_control/lifecycle {"at": ...}`). Retention
and holds are stronger than any rule: the object stays until they end. Days are counted from the exact time, where the
service rounds up to the next midnight.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from starlette.responses import Response

from services.local.objectstore import buckets, errors, object_rules, objects, store
from services.local.objectstore.call import Call, Server, answer

EVERY_S = 3600.0
DAY_S = 86400.0
COLDER = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
log = logging.getLogger("objectstore")


@dataclass(frozen=True, slots=True)
class Judged:
    """One generation, and what a condition may ask about it besides its document."""

    stored: objects.Stored
    newer: int
    at: float

    def days_since(self, field: str) -> float | None:
        """Days from a time of the object until now; None if it has no such time."""
        text = self.stored.doc.get(field)
        return None if text is None else (self.at - store.seconds(text)) / DAY_S

    def before(self, field: str, day: str) -> bool:
        """Whether a time of the object lies before the midnight (UTC) with which a date begins."""
        text = self.stored.doc.get(field)
        return text is not None and str(text)[:10] < date.fromisoformat(day).isoformat()


def holds(condition: Mapping[str, Any], judged: Judged) -> bool:
    """Whether all parts of a condition hold. Pure; the parts are those that `bucket_rules` lets in."""
    return all(_part(key, value, judged) for key, value in condition.items())


def _part(key: str, value: Any, judged: Judged) -> bool:
    stored = judged.stored
    since = {"age": "timeCreated", "daysSinceCustomTime": "customTime", "daysSinceNoncurrentTime": "timeDeleted"}
    if key in since:
        days = judged.days_since(since[key])
        return days is not None and days >= value
    dates = {"createdBefore": "timeCreated", "customTimeBefore": "customTime", "noncurrentTimeBefore": "timeDeleted"}
    if key in dates:
        return judged.before(dates[key], value)
    if key == "isLive":
        return bool(value) == stored.live
    if key == "numNewerVersions":
        return judged.newer >= int(value)
    if key == "matchesStorageClass":
        return stored.doc["storageClass"] in value
    affix = stored.name.startswith if key == "matchesPrefix" else stored.name.endswith
    return any(affix(text) for text in value)


def decide(rules: list[Mapping[str, Any]], judged: Judged) -> str | None:
    """ "" to delete, a storage class to move to, or None. Pure."""
    wanted = None
    for rule in rules:
        action = rule["action"]
        if action["type"] == "AbortIncompleteMultipartUpload" or not holds(rule["condition"], judged):
            continue
        if action["type"] == "Delete":
            return ""
        wanted = max(wanted or "STANDARD", action["storageClass"], key=_coldness)
    present = judged.stored.doc["storageClass"]
    return wanted if wanted is not None and _coldness(wanted) > _coldness(present) else None


def _coldness(storage_class: str) -> int:
    """The place among `COLDER`; the old names of STANDARD count as it."""
    return COLDER.index(storage_class) if storage_class in COLDER else 0


def _judged(connection: sqlite3.Connection, bucket: str, at: float) -> Iterator[Judged]:
    rows = connection.execute(
        f"SELECT {objects.COLUMNS} FROM objects WHERE bucket = ? ORDER BY name, generation DESC", (bucket,)
    ).fetchall()
    for _, versions in groupby(map(objects.from_row, rows), key=lambda stored: stored.name):
        for newer, stored in enumerate(versions):
            yield Judged(stored, newer, at)


def run(transaction: store.Transaction, at: float) -> list[dict[str, Any]]:
    """Carry out the rules of every bucket as of a moment; what was done, object by object."""
    done = []
    for (name,) in transaction.execute("SELECT name FROM buckets ORDER BY name").fetchall():
        bucket = buckets.find(transaction.connection, name)
        rules = bucket.doc.get("lifecycle", {}).get("rule", [])
        for judged in _judged(transaction.connection, name, at) if rules else ():
            action = decide(rules, judged)
            if action is None or not _carried_out(transaction, bucket, judged.stored, action, store.timestamp(at)):
                continue
            stored = judged.stored
            place = {"bucket": name, "name": stored.name, "generation": str(stored.generation)}
            done.append({**place, "action": "SetStorageClass" if action else "Delete"})
    return done


def _carried_out(
    transaction: store.Transaction, bucket: buckets.Bucket, stored: objects.Stored, action: str, now: str
) -> bool:
    if action:
        changed = {**stored.doc, "storageClass": action, "timeStorageClassUpdated": now}
        objects.rewrite_document(transaction, stored, changed)
        return True
    try:
        objects.retire(transaction, bucket, stored, now)
    except errors.ApiError:  # retention or a hold: its day will come
        return False
    return True


async def control(call: Call) -> Response:
    """`POST /_control/lifecycle {"at": "2031-01-01T00:00:00Z"}`: carry out all rules as of that moment, now if none."""
    given = (await call.document()).get("at")
    at = store.seconds(object_rules.check_time(given, "at") if given is not None else store.timestamp())
    return answer({"done": await call.state.write(lambda transaction: run(transaction, at))})


def _run_now(transaction: store.Transaction) -> list[dict[str, Any]]:
    return run(transaction, store.seconds(store.timestamp()))


async def sweep(server: Server) -> None:
    """Carry out all rules once an hour, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        if done := await server.state.write(_run_now):
            log.info("lifecycle: %s", json.dumps(done))
