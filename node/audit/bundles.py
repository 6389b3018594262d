"""Reading bundles: every member with its size and checksum, and every way in which a bundle can be spoilt.

Tar bundles are gzip over POSIX tar, one member a file. JSONL bundles have one line a file, with the file's content
under `Raw` and its path under `Archiver.Filename`; their index, an object of its own, lists the same files in the same
order. Everything is streamed: memory holds a mebibyte of a member, or one line.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import BinaryIO

import msgspec

TAR = re.compile(r"(?P<base>.*/)?(?P<stamp>[0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-(?P<rest>[^/]+)\.tgz")
LINES = re.compile(r"(?P<base>.*/)?(?P<stamp>[0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-(?P<rest>[^/]+)-data\.jsonl\.gz")
LONGEST_LINE_BYTES = 256 << 20
_PIECE_BYTES = 1 << 20


class Corrupt(Exception):
    """What is wrong with a bundle."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle: its path below the datatype's folder, and its content's size and SHA-256.

    A line of JSON does not tell whether the file ended with a newline: then `other` is the checksum of the content with
    one more byte.
    """

    path: bytes
    size_bytes: int
    sha256: bytes
    other: bytes = b""


class _Line(msgspec.Struct):
    archiver: msgspec.Raw = msgspec.field(name="Archiver")
    raw: msgspec.Raw = msgspec.field(name="Raw")


class _Archiver(msgspec.Struct):
    filename: str = msgspec.field(name="Filename")


class _Index(msgspec.Struct):
    filename: str = msgspec.field(name="Filename")
    size: int = msgspec.field(name="Size")


_LINE = msgspec.json.Decoder(_Line)
_ARCHIVER = msgspec.json.Decoder(_Archiver)
_INDEX = msgspec.json.Decoder(_Index)


def tar_members(stream: BinaryIO, datatype: str) -> Iterator[Member]:
    """Of a tar bundle. Raises `Corrupt`, also after all members, for what follows them."""
    try:
        with gzip.GzipFile(fileobj=stream, mode="rb") as unpacked:
            # Without pipes' blocks: each read is what tarfile asks for.
            with tarfile.open(fileobj=unpacked, mode="r|", bufsize=tarfile.BLOCKSIZE * 20) as archive:
                while (entry := archive.next()) is not None:
                    yield _tar_member(archive, entry, datatype)
                    archive.members = []  # type: ignore[attr-defined]  # it keeps them all
            while unpacked.read(_PIECE_BYTES):
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise Corrupt(f"{type(error).__name__}: {error}") from None


def _tar_member(archive: tarfile.TarFile, entry: tarfile.TarInfo, datatype: str) -> Member:
    path = os.fsencode(entry.name)
    if not entry.isreg():
        raise Corrupt(f"{path!r} is no regular file")
    said = entry.pax_headers.get("MLAB.datatype")
    if said not in (None, datatype):
        raise Corrupt(f"{path!r} says that its datatype is {said!r}")
    content = archive.extractfile(entry)
    assert content is not None
    digest, size = hashlib.sha256(), 0
    while piece := content.read(_PIECE_BYTES):
        digest.update(piece)
        size += len(piece)
    if size != entry.size:
        raise Corrupt(f"{path!r} has {size} bytes of {entry.size}")
    return Member(path, size, digest.digest())


def line_members(data: BinaryIO, index: BinaryIO | None, datatype: str) -> Iterator[Member]:
    """Of a JSONL bundle and its index. Raises `Corrupt`."""
    if index is None:
        raise Corrupt("has no index")
    try:
        with gzip.GzipFile(fileobj=data, mode="rb") as lines, gzip.GzipFile(fileobj=index, mode="rb") as listed:
            for line, entry in zip_longest(_lines(lines), _lines(listed)):
                if line is None or entry is None:
                    raise Corrupt("has not as many lines as its index")
                yield _line_member(line, entry, datatype)
    except (OSError, EOFError, zlib.error, msgspec.MsgspecError) as error:
        raise Corrupt(f"{type(error).__name__}: {error}") from None


def _line_member(line: bytes, entry: bytes, datatype: str) -> Member:
    decoded = _LINE.decode(line)
    filename = _ARCHIVER.decode(decoded.archiver).filename
    listed = _INDEX.decode(entry)
    if (listed.filename, listed.size) != (filename, len(line)):
        raise Corrupt(f"{filename!r} of {len(line)} bytes is {listed.filename!r} of {listed.size} in its index")
    raw = bytes(decoded.raw)
    digest = hashlib.sha256(raw)
    alone = digest.digest()
    digest.update(b"\n")
    return Member(_below(filename, datatype), len(raw), alone, digest.digest())


def _below(filename: str, datatype: str) -> bytes:
    """The path below the datatype's folder: what follows the last component of that name, which days do not have."""
    folders, _, rest = filename.rpartition(f"/{datatype}/")
    return os.fsencode(rest if folders or filename.startswith(f"/{datatype}/") else filename)


def _lines(stream: gzip.GzipFile) -> Iterator[bytes]:
    buffered = io.BufferedReader(stream, _PIECE_BYTES)
    while line := buffered.readline(LONGEST_LINE_BYTES):
        if len(line) >= LONGEST_LINE_BYTES:
            raise Corrupt(f"has a line of more than {LONGEST_LINE_BYTES} bytes")
        yield line.removesuffix(b"\n")
