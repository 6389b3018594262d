"""Bundles of JSON files as the archive's loader knows them: a line a file with where it came from, and an index.

A file is one JSON object on one line; it stands in its line byte for byte. What is none goes into quarantine: a single
such line would make the loader refuse the whole bundle. Names are those of the bundle's first file's time, because each
line says which object it is in.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from node.pusher import names, reading
from node.pusher.content import Content

VERSION = "v2.0.0"
"""What lines call this program, next to its commit."""
_LEVEL = 6
_NAME = re.compile(r"(20[0-9]{2}/[0-9]{2}/[0-9]{2})/([a-zA-Z0-9:_-][a-zA-Z0-9:._-]*)")


@dataclass(frozen=True, slots=True)
class Target:
    """What all bundles of a datatype have in common."""

    bucket: str
    prefix: str
    experiment: str
    datatype: str
    machine: str
    commit: str
    root: Path
    extensions: tuple[str, ...]
    max_bytes: int


def _text(value: str) -> str:
    """As Go's encoding/json writes it."""
    made = json.dumps(value, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        made = made.replace(char, f"\\u{ord(char):04x}")
    return made


def _day_error(day: str) -> str:
    try:
        datetime.date(*map(int, day.split("/")))
    except ValueError:
        return "is in the folder of a day that does not exist"
    return ""


class Packer:
    """A day's bundle. `add` raises `reading.Changed`, `Bad`, `TooLarge`, and then the bundle is what it was before."""

    def __init__(self, target: Target, key: str, names_: tuple[str, ...], contents: tuple[Content, Content]) -> None:
        self.contents = contents
        self._target = target
        self._gzip = [zlib.compressobj(_LEVEL, zlib.DEFLATED, 31) for _ in contents]
        self._size = 0
        self._lines = 0
        day = key.replace("/", "-")
        self._before = (
            f'{{"Date":"{day}","Archiver":{{"Version":{_text(VERSION)},"GitCommit":{_text(target.commit)},'
            f'"ArchiveURL":{_text(f"gs://{target.bucket}/{names_[0]}")},"Filename":'
        ).encode()

    def fits(self, size: int) -> bool:
        """Whether a file of this size may still come in; `add` says of one that never may."""
        return self._size + size <= self._target.max_bytes or size > self._target.max_bytes or not self._lines

    def add(self, name: str, descriptor: int, status: os.stat_result, added_us: int) -> None:
        """A file that is open at its begin."""
        if status.st_size > self._target.max_bytes:
            raise reading.TooLarge(f"has {status.st_size} bytes, more than the {self._target.max_bytes} of a bundle")
        data = reading.whole(descriptor, status)
        wrong = content_error(data)
        if wrong:
            raise reading.Bad(wrong)
        if data.endswith(b"\n"):
            data = data[:-1]
        filename = _text(f"{self._target.root}/{name}").encode()
        before = self._before + filename + b'},"Raw":'
        size = len(before) + len(data) + 1
        newline = b"\n" if self._lines else b""
        self._write(0, newline + before)
        self._write(0, data)
        self._write(0, b"}")
        moment = time.strftime("%Y/%m/%dT%H%M%S", time.gmtime(added_us // 1_000_000))
        index = b'{"Filename":%b,"Size":%d,"TimeAdded":"%b.%06dZ"}'
        self._write(1, newline + index % (filename, size, moment.encode(), added_us % 1_000_000))
        self._size += size
        self._lines += 1

    def _write(self, number: int, data: bytes) -> None:
        self.contents[number].write(self._gzip[number].compress(data))

    def full(self) -> bool:
        """Whether nothing more can come in."""
        return self._size >= self._target.max_bytes

    def finish(self) -> None:
        """No more lines."""
        for number, made in enumerate(self.contents):
            made.write(self._gzip[number].flush())


def content_error(data: bytes) -> str:
    """Why a file's content can be no line; `""`: it can."""
    if not data:
        return "is empty"
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
        data.decode()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"is no JSON: {error}"
    except RecursionError:
        return "is JSON of a depth that no reader takes"
    if data.find(b"\n", 0, len(data) - 1) >= 0:
        return "has more than one line"
    if not data.lstrip(b" \t\r").startswith(b"{"):
        return "is no JSON object"
    return ""


class Format:
    """Of the datatypes that are loaded into tables without a parser."""

    content_type = "application/x-gzip"
    named_at_birth = True

    def __init__(self, target: Target) -> None:
        self._target = target

    def refuses(self, name: str) -> str:
        """Only files of a day, with a good name and extension, are loaded."""
        found = _NAME.fullmatch(name)
        if not found or ".." in name:
            return "is not YYYY/MM/DD/NAME, where NAME is made of a-z A-Z 0-9 : . _ - and no dot comes first or twice"
        if not name.endswith(self._target.extensions):
            return f"does not end with {' or '.join(self._target.extensions)}"
        return _day_error(found[1])

    def names(self, key: str, us: int) -> tuple[str, ...]:
        to = self._target
        return names.jsonl(to.prefix, to.experiment, to.datatype, key, us, to.machine)

    def begin(self, key: str, us: int, path: Path) -> Packer:
        contents = (
            Content(path.with_name(path.name + "-data.jsonl.gz")),
            Content(path.with_name(path.name + "-index1.jsonl.gz")),
        )
        return Packer(self._target, key, self.names(key, us), contents)
