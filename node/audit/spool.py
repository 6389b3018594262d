"""What lies in a spool: files of datatypes, files moved aside, and what pusher's journals say of both."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.pusher import journal, quarantine
from node.watch import beneath

STATE = ".pusher"
_PIECE_BYTES = 1 << 20


class SpoolError(Exception):
    """A spool that cannot be read."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of a datatype; the path is below the datatype's folder."""

    path: bytes
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on its way, as a journal has it."""

    entry: journal.Entry
    datatype: str


class Spool:
    """One experiment's folder, with one folder a datatype."""

    def __init__(self, folder: Path, state: Path | None = None) -> None:
        self.folder = folder
        self.state = state or folder / STATE

    def datatypes(self) -> list[str]:
        """Those that have a folder here, or journals."""
        try:
            names = {path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
        except OSError as error:
            raise SpoolError(f"{self.folder}: {error.strerror}; give pusher's -directory") from None
        if self.state.is_dir():
            names |= {path.name for path in self.state.iterdir() if path.is_dir()}
        return sorted(names)

    def files(self, datatype: str) -> Iterator[File]:
        """Every regular file, whatever its name. A folder that cannot be read is a `SpoolError`."""
        root = os.fsencode(self.folder / datatype)
        waiting = [root] if os.path.isdir(root) else []  # noqa: PTH112 - bytes
        while waiting:
            above = waiting.pop()
            try:
                with os.scandir(above) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        elif (found := _file(entry, len(root) + 1)) is not None:
                            yield found
            except FileNotFoundError:
                continue  # pusher removes empty folders of days that are over
            except OSError as error:
                raise SpoolError(f"{os.fsdecode(above)}: {error.strerror}") from None

    def journals(self, datatype: str) -> Iterator[Bundle]:
        """What is on its way; a journal that was never sealed whole counts for nothing, as it does for pusher."""
        folder = self.state / datatype
        for path in sorted(folder.glob("*" + journal.SUFFIX)):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue  # done meanwhile
            except OSError as error:
                raise SpoolError(f"{path}: {error.strerror}") from None
            entry = journal.decode(path, data)
            if entry is not None:
                yield Bundle(entry, datatype)

    def quarantined(self, datatype: str) -> Iterator[File]:
        """Files that were moved aside."""
        aside = Spool(self.state / datatype)
        yield from aside.files(quarantine.FOLDER)

    def digest(self, datatype: str, path: bytes) -> tuple[int, bytes] | None:
        """Size and SHA-256 of a file that is there; None if it is gone."""
        try:
            folder = os.open(self.folder / datatype, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            descriptor = beneath.open_file(folder, path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SpoolError(f"{self.folder / datatype / os.fsdecode(path)}: {error.strerror}") from None
        finally:
            os.close(folder)
        digest, size = hashlib.sha256(), 0
        with os.fdopen(descriptor, "rb", buffering=0) as opened:
            while piece := opened.read(_PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
        return size, digest.digest()


def _file(entry: os.DirEntry[bytes], cut: int) -> File | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return File(entry.path[cut:], status.st_size, status.st_mtime_ns)
