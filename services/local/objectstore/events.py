"""What happened to objects, as a feed: listed, waited for, or pushed to an address on loopback.

Events are written in the transaction of the change, so that the feed misses none. Pushes are CloudEvents in the
binary HTTP form that the archive's notifications have in production (`google.cloud.storage.object.v1.finalized`):
at least once, in order per subscription, and kept until the receiver answers 2xx.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from services.local.objectstore import errors, preconditions, store
from services.local.objectstore.call import Call, Server, answer, empty

if TYPE_CHECKING:
    from services.local.objectstore.objects import Stored

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_WAIT_S = 60
MAX_PAGE = 1000
RETRY_S = 0.5


def record(transaction: store.Transaction, type_: str, stored: Stored) -> None:
    """Types: finalized, deleted, archived, metadataUpdated."""
    document = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "bucket": stored.bucket,
        "name": stored.name,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "size": str(stored.size),
        **stored.doc,
    }
    transaction.execute(
        "INSERT INTO events(type, bucket, name, generation, time, doc) VALUES (?, ?, ?, ?, ?, ?)",
        type_,
        stored.bucket,
        stored.name,
        stored.generation,
        store.timestamp(),
        json.dumps(document),
    )


def after(state: store.Store, position: int, bucket: str, limit: int) -> list[dict[str, Any]]:
    """Events above a position, oldest first; an empty bucket means all buckets."""
    rows = state.reader.execute(
        "SELECT id, type, time, doc FROM events WHERE id > ? AND (? = '' OR bucket = ?) ORDER BY id LIMIT ?",
        (position, bucket, bucket, limit),
    )
    return [{"id": row[0], "type": row[1], "time": row[2], "object": json.loads(row[3])} for row in rows]


async def feed(call: Call) -> Response:
    """`GET /_control/events?after=ID&bucket=B&limit=N&wait_s=S`: waits for the first event if there is none yet."""
    position = preconditions.number(call.query, "after") or 0
    limit = min(preconditions.number(call.query, "limit") or MAX_PAGE, MAX_PAGE)
    wait_s = min(preconditions.number(call.query, "wait_s") or 0, MAX_WAIT_S)
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        changed = call.state.changed
        found = after(call.state, position, call.query.get("bucket", ""), limit)
        left_s = deadline - asyncio.get_running_loop().time()
        if found or left_s <= 0:
            return answer({"events": found, "next": found[-1]["id"] if found else position})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), left_s)


async def subscribe(call: Call) -> Response:
    """`POST /_control/subscriptions {"url", "bucket"?}`: push finalized objects from now on."""
    body = await call.document()
    url, bucket = str(body.get("url", "")), str(body.get("bucket", ""))
    if not _on_loopback(url):
        raise errors.invalid(f"A push goes to http on loopback only, not to {url[:128]!r}", "url")

    def work(transaction: store.Transaction) -> int:
        position = transaction.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
        cursor = transaction.execute(
            "INSERT INTO subscriptions(url, bucket, position) VALUES (?, ?, ?)", url, bucket, position
        )
        return int(cursor.lastrowid or 0)

    return answer({"id": await call.state.write(work), "url": url, "bucket": bucket})


def _on_loopback(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        if not url.isascii() or not url.isprintable() or " " in url:
            return False
        return parts.scheme == "http" and parts.hostname in LOOPBACK and parts.port != 0
    except ValueError:
        return False


async def unsubscribe(call: Call) -> Response:
    number = preconditions.number(call.path, "id")

    def work(transaction: store.Transaction) -> None:
        transaction.execute("DELETE FROM subscriptions WHERE id = ?", number)

    await call.state.write(work)
    return empty()


def _post(url: str, event: dict[str, Any]) -> bool:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
    try:
        headers = {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": str(event["id"]),
            "ce-type": f"google.cloud.storage.object.v1.{event['type']}",
            "ce-source": f"//storage.googleapis.com/projects/_/buckets/{event['object']['bucket']}",
            "ce-subject": "objects/" + urllib.parse.quote(event["object"]["name"]),
            "ce-time": event["time"],
        }
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection.request("POST", target, json.dumps(event["object"]), headers)
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def push(server: Server) -> None:
    """Serve the subscriptions until cancelled; a receiver that is down gets its events later."""
    while True:
        changed, failed = server.state.changed, False
        for number, url, bucket, position in server.state.reader.execute(
            "SELECT id, url, bucket, position FROM subscriptions"
        ).fetchall():
            for event in after(server.state, position, bucket, 100):
                if event["type"] == "finalized" and not await asyncio.to_thread(_post, url, event):
                    failed = True
                    break
                done = event["id"]

                def advance(transaction: store.Transaction, done: int = done, number: int = number) -> None:
                    transaction.execute("UPDATE subscriptions SET position = ? WHERE id = ?", done, number)

                await server.state.write(advance)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), RETRY_S if failed else None)
