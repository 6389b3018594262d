"""A content that grows until it is sealed: on the disk, beside the spool, with its checksum; what the disk refuses
stays in memory.

Memory stays small however large a bundle is, and what a killed run had sealed is there for the next one. A part that
was written may be taken back up to a mark, which is how a file that changes while it is read leaves no trace.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path

import google_crc32c

from node.pusher import faults

BUFFER_BYTES = 256 << 10


class Content:
    """Compressed bytes of one object."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._on_disk = 0
        self._crc = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.refused: OSError | None = None
        """Why the disk took no more; from then on the rest is in memory."""

    @property
    def size(self) -> int:
        return self._on_disk + self._waiting_bytes

    @property
    def in_memory_bytes(self) -> int:
        return self._waiting_bytes

    @property
    def crc32c(self) -> int:
        """Of all that was written so far."""
        crc = self._crc
        for piece in self._waiting:
            crc = google_crc32c.extend(crc, piece)
        return int(crc)

    def write(self, data: bytes) -> None:
        if data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes >= BUFFER_BYTES and self.refused is None:
                self.flush()

    def flush(self) -> None:
        """To the disk, as far as it takes it."""
        data = b"".join(self._waiting)
        if not data and self._on_disk:
            return  # all is there, and perhaps closed already: a sealed content is sealed again after a failure
        try:
            if self._descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if self._on_disk else os.O_TRUNC)
                self._descriptor = os.open(self.path, flags, 0o600)
                os.lseek(self._descriptor, self._on_disk, os.SEEK_SET)
            faults.point("content-before-write")
            while data:
                done = os.write(self._descriptor, data)
                self._crc = google_crc32c.extend(self._crc, data[:done])
                self._on_disk += done
                data = data[done:]
            faults.point("content-after-write")
            self.refused = None
        except OSError as error:
            self.refused = error
        self._waiting = [data] if data else []
        self._waiting_bytes = len(data)

    def mark(self) -> tuple[int, int]:
        """Where to come back to. All before it is on the disk, or the disk has refused."""
        self.flush()
        return self.size, self.crc32c

    def back(self, mark: tuple[int, int]) -> None:
        """Forget what was written after a mark."""
        size, crc = mark
        if size >= self._on_disk:
            kept = b"".join(self._waiting)[: size - self._on_disk]
            self._waiting, self._waiting_bytes = [kept] if kept else [], len(kept)
            return
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)
        self._on_disk, self._crc = size, crc
        self._waiting, self._waiting_bytes = [], 0

    def sync(self) -> None:
        """All that the disk takes, for good; it may be read from another thread afterwards."""
        self.flush()
        if self._descriptor >= 0 and self.refused is None:
            faults.point("content-before-fsync")
            with suppress(OSError):  # the journal has the checksum; what is lost is packed anew
                os.fdatasync(self._descriptor)
            faults.point("content-after-fsync")
            os.close(self._descriptor)
            self._descriptor = -1

    def open(self) -> io.BufferedIOBase:
        """To read it from its begin."""
        if not self._waiting:
            return self.path.open("rb")
        if not self._on_disk:
            return io.BytesIO(b"".join(self._waiting))
        return io.BufferedReader(_Joined(self._descriptor, self._on_disk, b"".join(self._waiting)), BUFFER_BYTES)

    def close(self) -> None:
        """Give up the descriptor and the memory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._waiting, self._waiting_bytes = [], 0

    def discard(self) -> None:
        """Nobody needs it any longer."""
        self.close()
        remove(self.path)


class _Joined(io.RawIOBase):
    """A file's begin and what is in memory after it, as one."""

    def __init__(self, descriptor: int, on_disk: int, rest: bytes) -> None:
        self._descriptor, self._on_disk, self._rest = descriptor, on_disk, rest
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._on_disk + len(self._rest)}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        if self._at < self._on_disk:
            data = os.pread(self._descriptor, min(len(view), self._on_disk - self._at), self._at)
        else:
            place = self._at - self._on_disk
            data = self._rest[place : place + len(view)]
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def checked(path: Path, size: int, crc32c: int) -> bool:
    """Whether a file is there, whole."""
    try:
        with path.open("rb") as file:
            crc, seen = 0, 0
            while piece := file.read(BUFFER_BYTES):
                crc = google_crc32c.extend(crc, piece)
                seen += len(piece)
    except OSError:
        return False
    return (seen, crc) == (size, crc32c)


def remove(path: Path) -> None:
    """Nobody needs this file any longer."""
    faults.point("content-before-unlink")
    path.unlink(missing_ok=True)
    faults.point("content-after-unlink")
