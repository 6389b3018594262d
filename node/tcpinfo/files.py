"""Files of connections: each appears whole under its name, once, and never replaces another.

Lines are kept in memory until a connection ends or has 16 KiB of them; most connections become one file in one go. A
longer one gets a compressor of its own, which writes into a file whose name begins with a dot, in the folder where the
file will be; it is renamed while still open, so that whoever watches the folder sees one complete file appear. One zstd
frame a file, with a checksum.

Compressors are small (a window of 8 KiB, 80 KiB in all) and at most 400; who gets none ends a file early and goes on
in the next. When the disk refuses, lines stay in memory and are tried again; beyond 1 MiB a connection's snapshots are
dropped, and counted, except its last.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import zstandard

_LOG = logging.getLogger("tcpinfo")
SPILL_BYTES = 16 << 10
WITHOUT_COMPRESSOR_BYTES = 40 << 10
REFUSED_BYTES = 1 << 20
COMPRESSORS = 400
_SMALL = zstandard.ZstdCompressionParameters.from_level(
    3, window_log=13, hash_log=11, chain_log=11, write_checksum=True
)
_LEVEL = 3
PARTIAL = "."


class Folder:
    """Where files go, what they have in common, and what became of them."""

    def __init__(self, output: Path, written: Callable[[], None]) -> None:
        self.output = output
        self.compressors = 0
        self.written = written
        self.whole = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=False)
        self._days: dict[int, str] = {}

    def day(self, ns: int) -> str:
        """The folder of a day, in UTC."""
        number = ns // 86_400_000_000_000
        if number not in self._days:
            if len(self._days) > 8:
                self._days.clear()
            made = self.output / time.strftime("%Y/%m/%d", time.gmtime(number * 86_400))
            made.mkdir(parents=True, exist_ok=True)
            self._days[number] = str(made)
        return self._days[number]

    def forget_days(self) -> None:
        """Somebody removed a folder."""
        self._days.clear()


class Segment:
    """One file of a connection, from its first line to its appearance. Methods that write raise `OSError`; what they
    were given stays, and they may be called again."""

    __slots__ = (
        "_compressor",
        "_descriptor",
        "_folder",
        "_frame",
        "_lines",
        "_names",
        "begun_ns",
        "last_ns",
        "size",
        "uuid",
    )

    def __init__(self, folder: Folder, uuid: str, begun_ns: int) -> None:
        self._folder = folder
        self.uuid = uuid
        self.begun_ns = self.last_ns = begun_ns
        self.size = 0
        self._lines: list[bytes] = []
        self._compressor: zstandard.ZstdCompressionObj | None = None
        self._descriptor = -1
        self._frame = b""
        self._names = ("", "")

    def add(self, ns: int, line: bytes) -> None:
        self._lines.append(line)
        self.size += len(line)
        self.last_ns = ns

    @property
    def streaming(self) -> bool:
        return self._compressor is not None

    def spill(self, day_ns: int, sequence: int, head: Callable[[int], bytes]) -> int:
        """Write out what is in memory, through a compressor of its own. The sequence number that it took."""
        if self._compressor is None:
            sequence = self._open(day_ns, sequence)
            self._compressor = zstandard.ZstdCompressor(compression_params=_SMALL).compressobj()
            self._folder.compressors += 1
            self._lines.insert(0, head(sequence))
        self._compress(end=False)
        self._write()
        return sequence

    def finish(self, day_ns: int, sequence: int, head: Callable[[int], bytes]) -> int:
        """Make the file appear. The sequence number that it took."""
        if self._compressor is not None:
            self._compress(end=True)
        at_once = bool(self._lines)
        if at_once:
            sequence = self._open(day_ns, sequence)
            self._frame = self._folder.whole.compress(head(sequence) + b"".join(self._lines))
        partial, final = self._names
        try:
            self._write()
            os.rename(partial, final)  # noqa: PTH104 - thousands a second; a Path costs as much as the call
        except OSError:
            if at_once:
                self._abandon(partial)
            raise
        os.close(self._descriptor)
        self._descriptor = -1
        self._lines = []
        self._folder.written()
        return sequence

    def _abandon(self, partial: str) -> None:
        """Hold no descriptor while the disk refuses: all lines are in memory."""
        os.close(self._descriptor)
        self._descriptor, self._frame = -1, b""
        with suppress(OSError):
            os.unlink(partial)  # noqa: PTH108

    def _compress(self, *, end: bool) -> None:
        assert self._compressor is not None
        made = [self._frame, self._compressor.compress(b"".join(self._lines))]
        self._lines, self.size = [], 0
        # A finished block each time: what is in the file can be recovered when the program is killed.
        made.append(
            self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH if end else zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        )
        if end:
            self._compressor = None
            self._folder.compressors -= 1
        self._frame = b"".join(made)

    def _write(self) -> None:
        while self._frame:
            done = os.write(self._descriptor, self._frame)
            self._frame = self._frame[done:]

    def _open(self, day_ns: int, sequence: int) -> int:
        """A file of the first free number: what an earlier run of the program left under this name stays."""
        while True:
            folder = self._folder.day(day_ns)
            name = f"{self.uuid}.{sequence:05d}.jsonl.zst"
            partial, final = f"{folder}/{PARTIAL}{name}", f"{folder}/{name}"
            if os.path.lexists(final):
                sequence += 1
                continue
            try:
                self._descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except FileExistsError:
                sequence += 1
            except FileNotFoundError:
                self._folder.forget_days()
            else:
                self._names = (partial, final)
                return sequence


def leftovers(output: Path) -> Iterator[Path]:
    """Partial files of a run that was killed."""
    yield from sorted(output.glob(f"[0-9]*/[0-9]*/[0-9]*/{PARTIAL}*.jsonl.zst"))


def recover(path: Path) -> int:
    """Finish a file of a run that was killed: all whole lines that it has. How many; 0 leaves no file."""
    reader = zstandard.ZstdDecompressor().decompressobj()
    data = b""
    with suppress(zstandard.ZstdError), path.open("rb") as file:
        for piece in iter(lambda: file.read(1 << 12), b""):
            data += reader.decompress(piece)
    data = data[: data.rfind(b"\n") + 1]
    count = data.count(b"\n")
    if count > 1:
        folder = Folder(path.parent, lambda: None)
        final = path.with_name(path.name.removeprefix(PARTIAL))
        made = path.with_name(f"{path.name}.new")
        made.write_bytes(folder.whole.compress(data))
        # A hard link, unlike a renaming, never replaces what has the name already.
        with suppress(FileExistsError):
            os.link(made, final)
        made.unlink()
    path.unlink()
    return count
