"""Compares a spool with what is stored of it, and tells every file that is not where it belongs.

The order of looking makes a running pusher no trouble: journals, then files, then the store; what looks wrong after
that is looked at once more. A file is stored before it is deleted, so one that is seen on no side is lost.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from node.audit import accounts, bundles, spool, stores

_WANTED_LINE = '{"name": "DATATYPE/…", "size": BYTES, "sha256": "HEX"}'


class ExpectError(Exception):
    """A list of what was written that cannot be read."""


class _Wanted(msgspec.Struct):
    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: what kind, which file or bundle, and why."""

    kind: str
    what: str
    why: str

    def line(self) -> str:
        return f"{self.kind}: {self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Question:
    """What to account for."""

    spool: spool.Spool
    store: stores.Store
    experiment: str
    node: str = ""
    """Only bundles of this node; empty: of all."""
    data_dir: str = "autoload/v1"
    expect: Path | None = None


@dataclass(slots=True)
class Totals:
    """How many, where. `oldest_waiting_s` is the age of the oldest file that waits."""

    bundles: int = 0
    members: int = 0
    member_bytes: int = 0
    stored_once: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    oldest_waiting_s: float = 0.0
    on_their_way: int = 0
    deletion_pending: int = 0
    quarantined: int = 0
    other_objects: int = 0
    expected: int = 0
    proven: int = 0
    findings: dict[str, int] = field(default_factory=dict)


def audit(asked: Question, totals: Totals) -> Iterator[Finding]:
    """Everything that is wrong; `totals` is complete at its end. Raises `SpoolError`, `StoreError`, `ExpectError`."""
    with accounts.Books() as books:
        for finding in _findings(asked, books, totals):
            totals.findings[finding.kind] = totals.findings.get(finding.kind, 0) + 1
            yield finding


def _findings(asked: Question, books: accounts.Books, totals: Totals) -> Iterator[Finding]:
    if asked.expect is not None:
        books.add_wanted(_wanted(asked.expect))
    datatypes = asked.spool.datatypes()
    _journals(asked, books, datatypes)
    for datatype in datatypes:
        prefix = os.fsencode(datatype) + b"/"
        books.add_spool((prefix + file.path, file.size_bytes, file.mtime_ns) for file in asked.spool.files(datatype))
        for file in asked.spool.quarantined(datatype):
            totals.quarantined += 1
            yield Finding("quarantined", shown(prefix + file.path), f"{file.size_bytes} bytes, moved aside as unfit")
    for datatype in _all_datatypes(asked, books, datatypes):
        yield from _stored(asked, books, totals, datatype)
    books.balance()
    yield from _repeated(books)
    yield from _left(asked, books, datatypes)
    yield from _lost(asked, books)
    yield from _unproven(asked, datatypes)
    if asked.expect is not None:
        yield from _expected(books, totals)
    _sum(books, totals)


def _wanted(path: Path) -> Iterator[tuple[bytes, int, bytes]]:
    decoder = msgspec.json.Decoder(_Wanted)
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    # By the standard library where a name is no UTF-8: it alone reads lone surrogates.
                    entry = _Wanted(**json.loads(line)) if b"\\ud" in line else decoder.decode(line)
                    yield os.fsencode(entry.name), entry.size, bytes.fromhex(entry.sha256)
                except (ValueError, TypeError, msgspec.MsgspecError) as error:
                    raise ExpectError(f"{path}:{number}: {error}; each line is {_WANTED_LINE}") from None
    except OSError as error:
        raise ExpectError(f"{path}: {error.strerror}") from None


def _journals(asked: Question, books: accounts.Books, datatypes: list[str]) -> None:
    for datatype in datatypes:
        prefix = os.fsencode(datatype) + b"/"
        for bundle in asked.spool.journals(datatype):
            entry = bundle.entry
            paths = (prefix + os.fsencode(member.name) for member in entry.members)
            books.add_way(str(entry.path), entry.objects[0].name, paths)


def _all_datatypes(asked: Question, books: accounts.Books, datatypes: list[str]) -> list[str]:
    """Those of the spool, and those of the expected files, whose folders may be gone."""
    expected = {os.fsdecode(path.partition(b"/")[0]) for path, *_ in books.wanted()}
    return sorted({*datatypes, *expected})


def _stored(asked: Question, books: accounts.Books, totals: Totals, datatype: str) -> Iterator[Finding]:
    for form, prefix in (
        (bundles.TAR, f"{asked.experiment}/{datatype}/"),
        (bundles.LINES, f"{asked.data_dir}/{asked.experiment}/{datatype}/"),
    ):
        for each in asked.store.objects(prefix):
            matched = form.fullmatch(each.name)
            rest = matched["rest"] if matched else ""
            start, end = f"{datatype}-", f"-{asked.experiment}"
            if not rest.startswith(start) or not rest.endswith(end):
                totals.other_objects += 1
                continue
            node = rest[len(start) : -len(end)]
            if asked.node in ("", node):
                yield from _bundle(asked, books, totals, each, datatype, node)


def _bundle(
    asked: Question, books: accounts.Books, totals: Totals, each: stores.Stored, datatype: str, node: str
) -> Iterator[Finding]:
    prefix = os.fsencode(datatype) + b"/"

    def members() -> Iterator[tuple[bytes, int, bytes, bytes]]:
        for member in _members(asked, each, datatype):
            totals.members += 1
            totals.member_bytes += member.size_bytes
            yield prefix + member.path, member.size_bytes, member.sha256, member.other

    totals.bundles += 1
    try:
        books.add_bundle(each.name, node, members())
    except bundles.Corrupt as error:
        yield Finding("corrupt", each.name, str(error))


def _members(asked: Question, each: stores.Stored, datatype: str) -> Iterator[bundles.Member]:
    with each.open() as data:
        if not each.name.endswith("-data.jsonl.gz"):
            yield from bundles.tar_members(data, datatype)
            return
        wanted = f"{asked.data_dir}/{asked.experiment}/index1/" + each.name.removeprefix(
            f"{asked.data_dir}/{asked.experiment}/{datatype}/"
        ).replace("-data.jsonl.gz", "-index1.jsonl.gz")
        listed = asked.store.find(wanted)
        if listed is None:
            yield from bundles.line_members(data, None, datatype)
            return
        with listed.open() as index:
            yield from bundles.line_members(data, index, datatype)


def _repeated(books: accounts.Books) -> Iterator[Finding]:
    for copies in books.repeated():
        where = ", ".join(copy.bundle for copy in copies)
        if len({copy.sha256 for copy in copies}) == len(copies):
            why = f"stored with {len(copies)} contents, in {where}: it was written to after it was closed"
            yield Finding("rewritten", shown(copies[0].path), why)
        else:
            yield Finding("twice", shown(copies[0].path), f"stored {len(copies)} times, in {where}")


def _left(asked: Question, books: accounts.Books, datatypes: list[str]) -> Iterator[Finding]:
    """What would be stored once more."""
    candidates = books.stored_and_there()
    first = next(candidates, None)
    if first is None:
        return
    # Bundles that were sealed since the first look.
    _journals(asked, books, datatypes)
    for path in books.stored_and_there():
        datatype, _, below = path.partition(b"/")
        now = asked.spool.digest(os.fsdecode(datatype), below)
        if now is None:
            continue
        same = next((copy for copy in books.copies(path) if copy.holds(*now)), None)
        if same is not None:
            why = f"stored in {same.bundle}, not deleted, and in no journal: it will be stored again"
            yield Finding("left", shown(path), why)


def _lost(asked: Question, books: accounts.Books) -> Iterator[Finding]:
    for path, named in books.on_no_side():
        datatype, _, below = path.partition(b"/")
        if asked.spool.digest(os.fsdecode(datatype), below) is None and asked.store.find(named) is None:
            yield Finding("lost", shown(path), f"packed into {named}, which is not stored, and deleted")


def _unproven(asked: Question, datatypes: list[str]) -> Iterator[Finding]:
    """Objects whose journal says that they are stored, and permits deletion."""
    for datatype in datatypes:
        for bundle in asked.spool.journals(datatype):
            for each in bundle.entry.objects if bundle.entry.stored else ():
                found = asked.store.find(each.name)
                if found is None or found.size_bytes != each.size:
                    has = "is absent" if found is None else f"has {found.size_bytes} bytes"
                    yield Finding(
                        "unproven", each.name, f"{has}; {bundle.entry.path} says {each.size} bytes are stored"
                    )


def _expected(books: accounts.Books, totals: Totals) -> Iterator[Finding]:
    for path, size_bytes, sha256, there in books.wanted():
        totals.expected += 1
        copies = books.copies(path)
        if not copies:
            if there:
                yield Finding("unstored", shown(path), "is still in the spool only")
            else:
                yield Finding("missing", shown(path), "is neither stored nor in the spool")
        elif not all(copy.holds(size_bytes, sha256) for copy in copies):
            other = next(copy for copy in copies if not copy.holds(size_bytes, sha256))
            why = f"{other.bundle} has {other.size_bytes} bytes, sha256 {other.sha256.hex()}; written were {size_bytes}"
            yield Finding("altered", shown(path), f"{why}, {sha256.hex()}")
        elif len(copies) == 1:
            totals.proven += 1


def _sum(books: accounts.Books, totals: Totals) -> None:
    once = "SELECT 1 FROM stored GROUP BY path, node HAVING count(*) = 1"
    (totals.stored_once,) = books.number(f"SELECT count(*) FROM ({once})")
    stored = "EXISTS (SELECT 1 FROM stored WHERE stored.path = spool.path)"
    way = "EXISTS (SELECT 1 FROM way WHERE way.path = spool.path)"
    totals.waiting, totals.waiting_bytes, oldest_ns = books.number(
        f"SELECT count(*), sum(size), min(mtime_ns) FROM spool WHERE NOT {stored} AND NOT {way}"
    )
    totals.oldest_waiting_s = max(0.0, time.time() - oldest_ns / 1e9) if totals.waiting else 0.0
    (totals.on_their_way,) = books.number(f"SELECT count(*) FROM spool WHERE NOT {stored} AND {way}")
    (totals.deletion_pending,) = books.number(f"SELECT count(*) FROM spool WHERE {stored} AND {way}")


def shown(path: bytes) -> str:
    """A path on one line of a terminal: as it is, or as a literal if it has anything but printable ASCII."""
    text = path.decode("ascii", errors="replace")
    return text if path.isascii() and text.isprintable() else repr(path)[1:]
