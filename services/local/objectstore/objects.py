"""Objects: their resource, generations, and what guards them (retention, holds, versioning).

Every write of content makes a new generation. With versioning the former one stays as noncurrent; a retention period
or a hold forbids that a generation disappears, so that without versioning an overwrite is refused too.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from services.local.objectstore import buckets, contents, errors, events, object_rules, preconditions, store
from services.local.objectstore.call import Call, answer, empty

COLUMNS = "bucket, name, generation, metageneration, live, size, content, doc"


@dataclass(frozen=True, slots=True)
class Stored:
    """One generation of an object, as its row has it."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    live: bool
    size: int
    content: int
    doc: Mapping[str, Any]


def from_row(row: tuple[Any, ...]) -> Stored:
    return Stored(row[0], row[1], row[2], row[3], bool(row[4]), row[5], row[6], json.loads(row[7]))


def find(connection: sqlite3.Connection, bucket: str, name: str, generation: int | None = None) -> Stored | None:
    """The live object, or the given generation; 404 if there is no such bucket."""
    condition, values = ("live = 1", (bucket, name)) if generation is None else (
        "generation = ?", (bucket, name, generation))  # fmt: skip
    statement = f"SELECT {COLUMNS} FROM objects WHERE bucket = ? AND name = ? AND {condition}"
    row = connection.execute(statement, values).fetchone()
    if row is None:
        buckets.find(connection, bucket)
        return None
    return from_row(row)


def demand(connection: sqlite3.Connection, bucket: str, name: str, generation: int | None = None) -> Stored:
    found = find(connection, bucket, name, generation)
    if found is None:
        raise errors.no_object(bucket, name, generation)
    return found


def etag(stored: Stored) -> str:
    return base64.b64encode(f"{stored.generation}/{stored.metageneration}".encode()).decode()


def resource(base: str, stored: Stored, retention_s: int) -> dict[str, Any]:
    quoted = urllib.parse.quote(stored.name, safe="")
    document = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{base}/storage/v1/b/{stored.bucket}/o/{quoted}",
        "mediaLink": f"{base}/download/storage/v1/b/{stored.bucket}/o/{quoted}"
        f"?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "size": str(stored.size),
        "etag": etag(stored),
        **stored.doc,
    }
    if retention_s:
        document["retentionExpirationTime"] = store.timestamp(store.seconds(stored.doc["timeCreated"]) + retention_s)
    return document


def check_removable(bucket: buckets.Bucket, stored: Stored, now: str) -> None:
    """403 if retention or a hold keeps this generation from disappearing."""
    for hold in object_rules.HOLDS:
        if stored.doc.get(hold):
            message = (
                f"Object '{stored.bucket}/{stored.name}' is under active {hold} and cannot be deleted or overwritten."
            )
            raise errors.ApiError(403, "objectUnderActiveHold", message)
    if bucket.retention_s:
        until = store.timestamp(store.seconds(stored.doc["timeCreated"]) + bucket.retention_s)
        if until > now:
            message = (
                f"Object '{stored.bucket}/{stored.name}' is subject to bucket's retention policy and cannot be "
                f"deleted or overwritten until {until}"
            )
            raise errors.ApiError(403, "retentionPolicyNotMet", message)


def retire(transaction: store.Transaction, bucket: buckets.Bucket, stored: Stored, now: str) -> None:
    """Take a generation out of sight, and say so: a live one of a versioned bucket becomes noncurrent, any other goes.

    Raises 403 where retention or a hold forbids it.
    """
    key = (stored.bucket, stored.name, stored.generation)
    if stored.live and bucket.versioned:
        transaction.execute(
            "UPDATE objects SET live = 0, doc = ? WHERE bucket = ? AND name = ? AND generation = ?",
            json.dumps({**stored.doc, "timeDeleted": now}),
            *key,
        )
        events.record(transaction, "archived", stored)
        return
    check_removable(bucket, stored, now)
    transaction.execute("DELETE FROM objects WHERE bucket = ? AND name = ? AND generation = ?", *key)
    transaction.released.append(stored.content)
    events.record(transaction, "deleted", stored)


def retire_if_live(transaction: store.Transaction, bucket: buckets.Bucket, stored: Stored) -> None:
    """Retire exactly this generation, unless something else has taken its place."""
    now = find(transaction.connection, stored.bucket, stored.name, stored.generation)
    if now is not None and now.live:
        retire(transaction, bucket, now, store.timestamp())


def create(
    transaction: store.Transaction,
    bucket: buckets.Bucket,
    name: str,
    doc: Mapping[str, Any],
    size: int,
    content: int,
    conditions: preconditions.Preconditions,
) -> Stored:
    """Make a new live generation, if the conditions on the present one hold."""
    now = store.timestamp()
    before = find(transaction.connection, bucket.name, name)
    conditions.check_write(before.generation if before else 0, before.metageneration if before else 0)
    if before is not None:
        retire(transaction, bucket, before, now)
    default: dict[str, Any] = {"storageClass": bucket.doc["storageClass"]}
    if bucket.doc.get("defaultEventBasedHold"):
        default["eventBasedHold"] = True
    times = dict.fromkeys(("timeCreated", "updated", "timeStorageClassUpdated", "timeFinalized"), now)
    complete = {**default, **{key: value for key, value in doc.items() if value is not None}, **times}
    stored = Stored(bucket.name, name, transaction.next_generation(), 1, True, size, content, complete)
    transaction.execute(
        f"INSERT INTO objects({COLUMNS}) VALUES (?, ?, ?, 1, 1, ?, ?, ?)",
        stored.bucket,
        name,
        stored.generation,
        size,
        content,
        json.dumps(complete),
    )
    events.record(transaction, "finalized", stored)
    return stored


async def insert(
    call: Call,
    name: str,
    body: Mapping[str, Any],
    content: contents.Content,
    conditions: preconditions.Preconditions,
    also: Callable[[store.Transaction, dict[str, Any]], None] | None = None,
) -> Response:
    """Store an uploaded content as the new generation of `name`; its checksums, if the client sent them, must agree.

    `also` is a write that is to happen with this one or not at all; it is given the new object's resource.
    """
    for field, actual in (("crc32c", content.crc32c), ("md5Hash", content.md5)):
        if body.get(field) and body[field] != actual:
            message = f'Provided {field} "{str(body[field])[:32]}" doesn\'t match calculated {field} "{actual}".'
            raise errors.invalid(message)
    doc = {
        "contentType": "application/octet-stream",
        **object_rules.writable(body),
        "crc32c": content.crc32c,
        "md5Hash": content.md5,
    }

    def work(transaction: store.Transaction) -> dict[str, Any]:
        bucket = buckets.find(transaction.connection, call.path["bucket"])
        kept = contents.keep(transaction, content)
        stored = create(transaction, bucket, name, doc, content.size, kept, conditions)
        made = resource(call.server.base, stored, bucket.retention_s)
        if also is not None:
            also(transaction, made)
        return made

    made = await call.state.write(work)
    return answer(made, headers={"ETag": made["etag"]})


def reply(call: Call, stored: Stored) -> Response:
    retention_s = buckets.find(call.state.reader, stored.bucket).retention_s
    return answer(resource(call.server.base, stored, retention_s), headers={"ETag": etag(stored)})


def check_etags(call: Call, stored: Stored) -> None:
    """The header form of the conditions, which the client offers for reads."""
    wanted, unwanted = call.request.headers.get("if-match"), call.request.headers.get("if-none-match")
    if wanted and etag(stored) not in [part.strip(' "') for part in wanted.split(",")]:
        raise errors.condition_not_met()
    if unwanted and etag(stored) in [part.strip(' "') for part in unwanted.split(",")]:
        raise errors.NotModified


async def get(call: Call) -> Response:
    generation = preconditions.number(call.query, "generation")
    stored = demand(call.state.reader, call.path["bucket"], call.path["object"], generation)
    preconditions.parse(call.query).check_read(stored.generation, stored.metageneration)
    check_etags(call, stored)
    return reply(call, stored)


async def patch(call: Call) -> Response:
    return await _change(call, replace_all=False)


async def update(call: Call) -> Response:
    return await _change(call, replace_all=True)


async def _change(call: Call, *, replace_all: bool) -> Response:
    given = object_rules.writable(await call.document())
    conditions, generation = preconditions.parse(call.query), preconditions.number(call.query, "generation")

    def work(transaction: store.Transaction) -> Stored:
        stored = demand(transaction.connection, call.path["bucket"], call.path["object"], generation)
        conditions.check_write(stored.generation, stored.metageneration)
        if replace_all:
            keep = {k: v for k, v in stored.doc.items() if k not in object_rules.WRITABLE or k == "storageClass"}
            doc = {**keep, **{k: v for k, v in given.items() if v is not None}}
        else:
            doc = buckets.merge(stored.doc, given)
        return rewrite_document(transaction, stored, {**doc, "updated": store.timestamp()})

    return reply(call, await call.state.write(work))


def rewrite_document(transaction: store.Transaction, stored: Stored, doc: Mapping[str, Any]) -> Stored:
    """Give a generation a new document: its metageneration grows."""
    changed = replace(stored, metageneration=stored.metageneration + 1, doc=doc)
    transaction.execute(
        "UPDATE objects SET doc = ?, metageneration = ? WHERE bucket = ? AND name = ? AND generation = ?",
        json.dumps(doc),
        changed.metageneration,
        stored.bucket,
        stored.name,
        stored.generation,
    )
    events.record(transaction, "metadataUpdated", changed)
    return changed


async def delete(call: Call) -> Response:
    conditions, generation = preconditions.parse(call.query), preconditions.number(call.query, "generation")

    def work(transaction: store.Transaction) -> None:
        bucket = buckets.find(transaction.connection, call.path["bucket"])
        stored = demand(transaction.connection, bucket.name, call.path["object"], generation)
        conditions.check_write(stored.generation, stored.metageneration)
        if generation is not None and stored.live:
            # Deleting a generation by its number removes it for good, versioned or not.
            stored = replace(stored, live=False)
        retire(transaction, bucket, stored, store.timestamp())

    await call.state.write(work)
    return empty()
