"""Listing of objects in the order of their names' bytes, by prefix, delimiter, offsets, glob and page.

A page token holds the place to go on from, so that a listing goes through every object that stays in place, however
many others come and go meanwhile. A folded prefix is left with one seek, not by reading the objects under it.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from services.local.objectstore import buckets, errors, objects, preconditions
from services.local.objectstore.call import Call, answer, flag

FETCH = 500
MAX_PAGE = 1000
SPECIAL = re.compile(r"[][\\^&~|]|-(?=-)")
"""What Python gives a meaning inside a set that a shell does not."""


@dataclass(slots=True)
class Page:
    items: list[objects.Stored] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    token: str = ""


def successor(prefix: str) -> str | None:
    """The least string above all that begin with `prefix`; None if there is no such."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return None


def glob_pattern(glob: str) -> re.Pattern[str]:
    """`*` and `?` stay within one segment, `**` does not; `[a-z]` and `{one,two}` as in a shell."""
    out, place, depth = "", 0, 0
    while place < len(glob):
        char = glob[place]
        if glob.startswith("**", place):
            out, place = out + ".*", place + 2
            continue
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "{":
            out, depth = out + "(?:", depth + 1
        elif char == "}" and depth:
            out, depth = out + ")", depth - 1
        elif char == "," and depth:
            out += "|"
        elif char == "[" and (end := glob.find("]", place + 2)) > 0:
            inner = glob[place + 1 : end]
            negated = "^" if inner[0] in "!^" else ""
            inner = SPECIAL.sub(r"\\\g<0>", inner[len(negated) :])
            out += f"[{negated}{inner}]"
            place = end
        else:
            out += re.escape(char)
        place += 1
    try:
        return re.compile(out + ")" * depth, re.DOTALL)
    except re.error:
        raise errors.invalid(f"Invalid matchGlob: {glob[:64]!r}", "matchGlob") from None


def _token(name: str, generation: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([name, generation]).encode()).decode()


def _start(query: Mapping[str, str]) -> tuple[str, int]:
    """Objects strictly above this (name, generation) are listed."""
    low = max(query.get("prefix", ""), query.get("startOffset", ""))
    if not query.get("pageToken"):
        return low, -1
    try:
        name, generation = json.loads(base64.urlsafe_b64decode(query["pageToken"]))
        return max((low, -1), (str(name), int(generation)))
    except (ValueError, TypeError):
        raise errors.invalid("Invalid argument: pageToken", "pageToken") from None


def _rows(
    connection: sqlite3.Connection, bucket: str, start: tuple[str, int], end: str | None, versions: bool
) -> Iterator[objects.Stored]:
    live = "" if versions else "AND live = 1"
    while True:
        rows = connection.execute(
            f"SELECT {objects.COLUMNS} FROM objects WHERE bucket = ? AND (name, generation) > (?, ?) {live} "
            "AND (? IS NULL OR name < ?) ORDER BY name, generation LIMIT ?",
            (bucket, *start, end, end, FETCH),
        ).fetchall()
        for row in rows:
            yield objects.from_row(row)
        if len(rows) < FETCH:
            return
        start = (rows[-1][1], rows[-1][2])


def page(connection: sqlite3.Connection, bucket: str, query: Mapping[str, str]) -> Page:
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    ends = [end for end in (successor(prefix), query.get("endOffset") or None) if end is not None]
    end = min(ends) if ends else None
    limit = min(preconditions.number(query, "maxResults") or MAX_PAGE, MAX_PAGE)
    pattern = glob_pattern(query["matchGlob"]) if query.get("matchGlob") else None
    trailing = flag(query, "includeTrailingDelimiter")
    versions = flag(query, "versions")
    found, start, last = Page(), _start(query), ("", -1)
    while True:
        skipped = False
        for stored in _rows(connection, bucket, start, end, versions):
            if pattern is not None and not pattern.fullmatch(stored.name):
                continue
            if len(found.items) + len(found.prefixes) >= limit:
                found.token = _token(*last)
                return found
            cut = stored.name.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                found.items.append(stored)
                # Of live objects the name alone counts: one that is overwritten meanwhile is not listed twice.
                last = (stored.name, stored.generation if versions else preconditions.MAX)
                continue
            folded = stored.name[: cut + len(delimiter)]
            found.prefixes.append(folded)
            if trailing and stored.name == folded:
                found.items.append(stored)
            following = successor(folded)
            if following is None:
                return found
            start = last = (following, -1)
            skipped = True
            break
        if not skipped:
            return found


async def list_(call: Call) -> Response:
    bucket = buckets.find(call.state.reader, call.path["bucket"])
    document: dict[str, Any] = {"kind": "storage#objects"}
    if flag(call.query, "softDeleted"):
        return answer(document)
    found = page(call.state.reader, bucket.name, call.query)
    if found.items:
        base = call.server.base
        document["items"] = [objects.resource(base, stored, bucket.retention_s) for stored in found.items]
    if found.prefixes:
        document["prefixes"] = found.prefixes
    if found.token:
        document["nextPageToken"] = found.token
    return answer(document)
