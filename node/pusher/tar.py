"""Bundles of files as the archive's parsers know them: gzip over POSIX tar, each member after a PAX header with the
metadata of all.

The bytes are those of Go's archive/tar, which the public platform's bundles are made with: mode 0666, no owner, whole
seconds, `DIR/PaxHeaders.0/BASE`. Nothing is flushed for each file: the compressor holds back at most `HELD_BYTES`, so
the size is known well enough until the threshold is near.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path

from node.pusher import names, reading
from node.pusher.content import Content

BLOCK = 512
_END = bytes(2 * BLOCK)
_OCTAL_LIMIT = 8**11
_RESERVED = frozenset(("path", "linkpath", "size", "uid", "gid", "uname", "gname", "mtime", "atime", "ctime"))
HELD_BYTES = 128 << 10
"""Input that is not yet looked at, 64 KiB, and a block of 16,384 symbols at 4 bytes each."""
_USTAR = b"ustar\x0000"
_BEFORE = {b"0": b"0000666\0" + b"0000000\0" * 2, b"x": b"0000000\0" * 3}
_AFTER = {
    b"0": (b"0" + bytes(100) + _USTAR + bytes(64) + b"0000000\x00" * 2).ljust(BLOCK - 156, b"\0"),
    b"x": (b"x" + bytes(100) + _USTAR).ljust(BLOCK - 156, b"\0"),
}
_SUMS = {kind: sum(_BEFORE[kind]) + sum(_AFTER[kind]) + 8 * ord(" ") for kind in _BEFORE}
_NEVER = b"%011o\0" % 0
LEVEL = 6


def metadata_error(metadata: Mapping[str, str]) -> str:
    """Why these pairs cannot stand in a PAX header; `""`: they can."""
    for key, value in metadata.items():
        if not key or "\0" in key + value:
            return f"{key!r} is empty or has a NUL"
        if key in _RESERVED or key.startswith("GNU.sparse."):
            return f"{key!r} has a meaning of its own to readers of tar files"
    return ""


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where the length counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def _block(kind: bytes, name: bytes, size: int, mtime: bytes) -> bytes:
    size_field = b"%011o\x00" % size
    total = _SUMS[kind] + sum(name) + sum(size_field) + sum(mtime)
    return b"%b%b%b%b%06o\x00 %b" % (name.ljust(100, b"\0"), _BEFORE[kind], size_field, mtime, total, _AFTER[kind])


def _field(name: bytes) -> bytes:
    """A name as the 100 bytes of a header take it; a PAX record has the rest."""
    plain = name if name.isascii() else bytes(byte for byte in name if byte < 0x80)
    if len(plain) > 100 and plain[99:100] == b"/":
        return plain[:100].rstrip(b"/")
    return plain[:100]


class Headers:
    """What stands before each member of a datatype's bundles."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self._records = {
            key.encode(errors="surrogateescape"): value.encode(errors="surrogateescape")
            for key, value in metadata.items()
        }
        self._plain = self._pax({})

    def _pax(self, more: Mapping[bytes, bytes]) -> tuple[int, bytes]:
        """Length and padded bytes of the records."""
        data = b"".join(_record(*pair) for pair in sorted({**self._records, **more}.items()))
        return len(data), data + bytes(-len(data) % BLOCK)

    def of(self, name: str, size: int, mtime_ns: int) -> bytes:
        """All blocks before the content."""
        raw = os.fsencode(name)
        mtime = (mtime_ns + 500_000_000) // 1_000_000_000
        length, records = self._plain
        if len(raw) > 100 or not raw.isascii() or size >= _OCTAL_LIMIT or not 0 <= mtime < _OCTAL_LIMIT:
            more = {}
            if len(raw) > 100 or not raw.isascii():
                more[b"path"] = raw
            if size >= _OCTAL_LIMIT:
                more[b"size"], size = b"%d" % size, 0
            if not 0 <= mtime < _OCTAL_LIMIT:
                more[b"mtime"], mtime = b"%d" % mtime, 0
            length, records = self._pax(more)
        folder, slash, base = raw.rpartition(b"/")
        pax_name = _field(folder + slash + b"PaxHeaders.0/" + base).rstrip(b"/")
        return _block(b"x", pax_name, length, _NEVER) + records + _block(b"0", _field(raw), size, b"%011o\x00" % mtime)


class Packer:
    """One bundle. `add` raises `reading.Changed`, and then the bundle is what it was before."""

    def __init__(self, content: Content, headers: Headers, threshold_bytes: int) -> None:
        self.content = content
        self.contents = (content,)
        self._headers = headers
        self._threshold = threshold_bytes
        self._gzip = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
        self._held = 0

    def fits(self, size: int) -> bool:
        """A bundle takes any file, and is full afterwards."""
        return True

    def add(self, name: str, descriptor: int, status: os.stat_result, added_us: int) -> None:
        """A file that is open at its begin."""
        size = status.st_size
        header = self._headers.of(name, size, status.st_mtime_ns)
        if size <= reading.PIECE_BYTES:
            data = reading.whole(descriptor, status)
            made = self._gzip.compress(header + data + bytes(-size % BLOCK))
            self._held += len(header) + size
            if made:
                self.content.write(made)
            return
        before, mark, held = self._gzip.copy(), self.content.mark(), self._held
        try:
            self._write(header)
            for piece in reading.pieces(descriptor, status):
                self._write(piece)
            self._write(bytes(-size % BLOCK))
        except (reading.Changed, OSError):
            self._gzip, self._held = before, held
            self.content.back(mark)
            raise

    def _write(self, data: bytes) -> None:
        self._held += len(data)
        self.content.write(self._gzip.compress(data))

    def full(self) -> bool:
        """Whether the compressed bytes exceed the threshold."""
        if self.content.size + min(self._held, HELD_BYTES) <= self._threshold:
            return False
        if self.content.size <= self._threshold and self._held:
            self.content.write(self._gzip.flush(zlib.Z_SYNC_FLUSH))
            self._held = 0
        return self.content.size > self._threshold

    def finish(self) -> None:
        """No more members."""
        self.content.write(self._gzip.compress(_END) + self._gzip.flush())


class Format:
    """Of the datatypes that are archived as they are."""

    content_type = "application/x-gzip"
    named_at_birth = False

    def __init__(self, experiment: str, datatype: str, machine: str, metadata: Mapping[str, str], limit: int) -> None:
        self._where = (experiment, datatype)
        self._machine = machine
        self._headers = Headers({**metadata, "MLAB.datatype": datatype})
        self._threshold_bytes = limit

    def refuses(self, name: str) -> str:
        """Every file is archived."""
        return ""

    def names(self, key: str, us: int) -> tuple[str, ...]:
        return (names.tar(*self._where, key, us, self._machine),)

    def begin(self, key: str, us: int, path: Path) -> Packer:
        return Packer(Content(path.with_name(path.name + ".tgz")), self._headers, self._threshold_bytes)
