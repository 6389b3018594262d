"""What is on its way: one file a bundle, written and fsynced before its first upload, gone when its members are.

It names the objects with size and checksum, and each member as it was packed, so that a run that was killed at any
moment is taken up by the next one: the same objects again, never other ones, and deletion goes on where it ended.

    {"version": 1, "key": "2026/11/22", "us": ..., "objects": [{"name", "size", "crc32c", "content"}], "members": 2}
    DEVICE INODE SIZE MTIME_NS ADDED_US "NAME"
    DEVICE INODE SIZE MTIME_NS ADDED_US "NAME"
    sealed CRC32C
    stored

A file that lacks its `sealed` line, wherever it ends, is one whose bundle was never uploaded: it is given up, and its
members are packed anew. `stored` follows when every object was proven; then nobody asks the store again.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from node.pusher import faults
from node.pusher.member import Member

_VERSION = 1
SUFFIX = ".journal"
_RESERVE = "reserve"
RESERVE_BYTES = 4 << 20
_STORED = b"stored\n"


class Object(NamedTuple):
    """One object of a bundle. `content` is the file beside the journal that holds it."""

    name: str
    size: int
    crc32c: int
    content: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One bundle on its way."""

    path: Path
    key: str
    us: int
    objects: tuple[Object, ...]
    members: tuple[Member, ...]
    stored: bool = False


class Journal:
    """The folder of a datatype's journals. Methods raise `OSError`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.reserve()

    def reserve(self) -> None:
        """Keep room for journals on a disk that is full otherwise: uploading is what makes room."""
        path = self.folder / _RESERVE
        with suppress(OSError):
            if path.exists():
                return
            with path.open("xb") as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
                except OSError:
                    path.unlink()

    def seal(self, entry: Entry) -> None:
        """Write down a bundle, for good."""
        data = encode(entry)
        faults.point("journal-before-create")
        try:
            self._write(entry.path, data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            (self.folder / _RESERVE).unlink(missing_ok=True)
            self._write(entry.path, data)
        self._sync_folder()
        faults.point("journal-after-folder-fsync")

    def path(self, name: str) -> Path:
        """Of the file of a bundle that is called so."""
        return self.folder / (name + SUFFIX)

    def _write(self, path: Path, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            faults.point("journal-after-create")
            half = len(data) // 2
            _write_all(descriptor, data[:half])
            faults.point("journal-half-written")
            _write_all(descriptor, data[half:])
            faults.point("journal-before-fsync")
            os.fsync(descriptor)
            faults.point("journal-after-fsync")
        finally:
            os.close(descriptor)

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def stored(self, entry: Entry) -> None:
        """Every object of it is proven to be there."""
        descriptor = os.open(entry.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            faults.point("stored-before-write")
            _write_all(descriptor, _STORED)
            faults.point("stored-after-write")
            os.fsync(descriptor)
            faults.point("stored-after-fsync")
        finally:
            os.close(descriptor)

    def done(self, entry: Entry) -> None:
        """Nothing is left to do for it."""
        faults.point("journal-before-unlink")
        entry.path.unlink(missing_ok=True)
        faults.point("journal-after-unlink")
        self.reserve()

    def entries(self) -> Iterator[Entry]:
        """What a run before this one left. Files that no bundle needs are removed."""
        needed = {_RESERVE}
        for path in sorted(self.folder.glob("*" + SUFFIX)):
            entry = decode(path, path.read_bytes())
            if entry is None:
                path.unlink()
                continue
            needed |= {path.name, *(each.content for each in entry.objects)}
            yield entry
        for path in self.folder.iterdir():
            if path.name not in needed and path.is_file():
                path.unlink()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def encode(entry: Entry) -> bytes:
    """The file of a bundle that is sealed."""
    head = {
        "version": _VERSION,
        "key": entry.key,
        "us": entry.us,
        "objects": [each._asdict() for each in entry.objects],
        "members": len(entry.members),
    }
    lines = [json.dumps(head)]
    lines += [
        f"{each.device} {each.inode} {each.size} {each.mtime_ns} {each.added_us} {encode_basestring_ascii(each.name)}"
        for each in entry.members
    ]
    body = ("\n".join(lines) + "\n").encode()
    return body + b"sealed %d\n" % google_crc32c.value(body)


def decode(path: Path, data: bytes) -> Entry | None:
    """What a file says; None if it was never sealed whole."""
    body, mark, rest = data.rpartition(b"sealed ")
    crc, newline, after = rest.partition(b"\n")
    if not mark or not newline or not crc.isdigit() or int(crc) != google_crc32c.value(body):
        return None
    try:
        first, *lines = body.decode("ascii").splitlines()
        head = json.loads(first)
        if head["version"] != _VERSION or head["members"] != len(lines):
            return None
        members = []
        for line in lines:
            *numbers, name = line.split(" ", 5)
            members.append(Member(json.loads(name), *map(int, numbers)))
        objects = tuple(Object(**each) for each in head["objects"])
        made = Entry(path, head["key"], head["us"], objects, tuple(members), after == _STORED)
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return made
