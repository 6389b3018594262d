"""Copies inside the service: rewrite, copy, move and compose.

A copy names the stored content a second time, so that none of them moves bytes; only compose makes a new content.
A rewrite of more than the server's step answers with a token that says how far it came; a source that changed
meanwhile makes the token void.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from services.local.objectstore import buckets, contents, errors, object_rules, objects, preconditions, store
from services.local.objectstore.call import Call, answer, sub_document

MAX_COMPONENTS = 32
REWRITE_QUANTUM = 1024 * 1024
KEPT = ("crc32c", "md5Hash", "componentCount")


def _copied(source: objects.Stored, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a copy: given metadata replaces the source's as a whole, as the service does."""
    fixed = {key: source.doc[key] for key in KEPT if key in source.doc}
    carried = {k: v for k, v in source.doc.items() if k in object_rules.WRITABLE and not k.endswith("Hold")}
    if not overrides:
        carried.pop("storageClass", None)
        return {**carried, **fixed}
    content_type = {"contentType": carried["contentType"]} if "contentType" in carried else {}
    return {**content_type, **overrides, **fixed}


def _copy(
    transaction: store.Transaction, call: Call, overrides: Mapping[str, Any], source: objects.Stored
) -> objects.Stored:
    target = buckets.find(transaction.connection, call.path["to_bucket"])
    conditions = preconditions.parse(call.query)
    name = object_rules.check_name(call.path["to_object"])
    return objects.create(
        transaction, target, name, _copied(source, overrides), source.size, source.content, conditions
    )


def _source(transaction: store.Transaction, call: Call) -> objects.Stored:
    generation = preconditions.number(call.query, "sourceGeneration")
    source = objects.demand(transaction.connection, call.path["bucket"], call.path["object"], generation)
    preconditions.parse(call.query, "ifSource").check_write(source.generation, source.metageneration)
    return source


async def copy(call: Call) -> Response:
    overrides = object_rules.writable(await call.document())

    def work(transaction: store.Transaction) -> objects.Stored:
        return _copy(transaction, call, overrides, _source(transaction, call))

    return objects.reply(call, await call.state.write(work))


def _token(source: objects.Stored, written: int) -> str:
    place = [source.bucket, source.name, source.generation, written]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _written(token: str, source: objects.Stored) -> int:
    try:
        bucket, name, generation, written = json.loads(base64.urlsafe_b64decode(token))
        place, written = (bucket, name, generation), int(written)
    except (ValueError, TypeError):
        raise errors.invalid("Invalid argument: rewriteToken", "rewriteToken") from None
    if place != (source.bucket, source.name, source.generation):
        raise errors.invalid("The rewriteToken is for another source object or generation", "rewriteToken")
    return written


async def rewrite(call: Call) -> Response:
    overrides = object_rules.writable(await call.document())
    limit = preconditions.number(call.query, "maxBytesRewrittenPerCall") or REWRITE_QUANTUM
    if limit % REWRITE_QUANTUM:
        message = f"maxBytesRewrittenPerCall must be a multiple of {REWRITE_QUANTUM}"
        raise errors.invalid(message, "maxBytesRewrittenPerCall")
    step = (
        min(call.server.rewrite_bytes, limit) if "maxBytesRewrittenPerCall" in call.query else call.server.rewrite_bytes
    )

    def work(transaction: store.Transaction) -> tuple[objects.Stored, objects.Stored | None, int]:
        source = _source(transaction, call)
        token = call.query.get("rewriteToken", "")
        written = min(source.size, (_written(token, source) if token else 0) + step)
        if written < source.size:
            buckets.find(transaction.connection, call.path["to_bucket"])
            return source, None, written
        return source, _copy(transaction, call, overrides, source), written

    source, made, written = await call.state.write(work)
    document: dict[str, Any] = {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": str(written),
        "objectSize": str(source.size),
        "done": made is not None,
    }
    if made is None:
        document["rewriteToken"] = _token(source, written)
    else:
        retention_s = buckets.find(call.state.reader, made.bucket).retention_s
        document["resource"] = objects.resource(call.server.base, made, retention_s)
    return answer(document)


async def move(call: Call) -> Response:
    """Rename within a bucket in one transaction: there is no moment with both names, or with none."""

    def work(transaction: store.Transaction) -> objects.Stored:
        source = _source(transaction, call)
        made = _copy(transaction, call, {}, source)
        objects.retire(transaction, buckets.find(transaction.connection, source.bucket), source, store.timestamp())
        return made

    if call.path["to_object"] == call.path["object"]:
        raise errors.invalid("An object cannot be moved to its own name")

    return objects.reply(call, await call.state.write(work))


@dataclass(frozen=True, slots=True)
class _Component:
    """A source of a composition, as it was found, and whether it had to be that very generation."""

    stored: objects.Stored
    guarded: bool

    def still_holds(self, transaction: store.Transaction) -> None:
        """Judge the condition again inside the write; 412 if the object moved on."""
        if self.guarded:
            now = objects.find(transaction.connection, self.stored.bucket, self.stored.name)
            if now is None or now.generation != self.stored.generation:
                raise errors.condition_not_met()


def _components(call: Call, body: Mapping[str, Any]) -> list[_Component]:
    listed = body.get("sourceObjects")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_COMPONENTS:
        raise errors.invalid(f"The number of source components must be within 1 and {MAX_COMPONENTS}")
    found = []
    for entry in listed:
        conditions = entry.get("objectPreconditions") or {} if isinstance(entry, dict) else None
        if not isinstance(conditions, dict):
            raise errors.invalid("Invalid argument: a source object is an object with a name")
        # The client sends a generation of null where it knows none.
        given = {key: str(value) for key, value in {**entry, **conditions}.items() if value is not None}
        generation = preconditions.number(given, "generation")
        stored = objects.demand(call.state.reader, call.path["bucket"], given.get("name", ""), generation)
        wanted = preconditions.number(given, "ifGenerationMatch")
        if wanted is not None and wanted != stored.generation:
            raise errors.condition_not_met()
        found.append(_Component(stored, guarded=wanted is not None and generation is None))
    return found


async def compose(call: Call) -> Response:
    """Join up to 32 objects of the bucket, in order; the sources stay unless `deleteSourceObjects` says otherwise."""
    body = await call.document()
    name = object_rules.check_name(call.path["object"])
    given = object_rules.writable(sub_document(body, "destination"))
    components = _components(call, body)
    conditions = preconditions.parse(call.query)
    sources = [contents.open_content(call.state, each.stored.content, each.stored.size) for each in components]
    sink = contents.Sink(call.state.files)

    def read() -> None:
        for source in sources:
            if source is None:
                raise errors.condition_not_met()
            for chunk in source.chunks(0, source.size):
                sink.write(chunk)

    try:
        await asyncio.to_thread(read)
        content = await sink.finish()
        doc = {"contentType": components[0].stored.doc.get("contentType"), **given, "crc32c": content.crc32c}
        doc["componentCount"] = sum(int(each.stored.doc.get("componentCount", 1)) for each in components)

        def work(transaction: store.Transaction) -> objects.Stored:
            bucket = buckets.find(transaction.connection, call.path["bucket"])
            for component in components:
                component.still_holds(transaction)
            kept = contents.keep(transaction, content)
            made = objects.create(transaction, bucket, name, doc, content.size, kept, conditions)
            if body.get("deleteSourceObjects") is True:
                for component in components:
                    objects.retire_if_live(transaction, bucket, component.stored)
            return made

        stored = await call.state.write(work)
    except Exception:
        # Not on cancellation: the commit may be under way, and its file is then not ours to remove.
        sink.discard()
        raise
    return objects.reply(call, stored)
