"""Finding and reading the files of `config/` without trusting them: links, pipes, sizes, names.

Nothing here blocks (a FIFO is never opened for reading before its kind is known), follows a link out of the checkout,
or reads more than the limit.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from reconcilers.core.model import Diagnostic, Span
from reconcilers.load import codes

MAX_BYTES = 1 << 20
FOLDERS = {
    "acks": ("Ack",),
    "alerts": ("AlertGroup", "AlertRouting"),
    "buckets": ("Bucket",),
    "datatypes": ("Datatype",),
    "embargo": ("EmbargoRule",),
    "environments": ("Environment",),
    "experiments": ("Experiment",),
    "images": ("Image",),
    "networks": ("Network",),
    "sites": ("Site",),
    "zones": ("Zone",),
}
"""The kinds that each folder of config/ holds."""
REQUIRED = ("environments", "experiments", "sites")


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read: where it is, and how it is printed (relative to the root)."""

    path: str
    file: str
    folder: str

    @property
    def stem(self) -> str:
        """The name that the object inside must have."""
        return self.file[self.file.rfind("/") + 1 : -len(".yaml")]


def printable(name: str) -> str:
    """A file name fit for one line of output, whatever bytes it holds."""
    return name if name.isprintable() else ascii(name)[1:-1]


def find(root: Path) -> tuple[list[Source], list[Diagnostic]]:
    """Every *.yaml below config/<folder>/, sorted, and a problem for everything else that lies there."""
    config = root / "config"
    problems: list[Diagnostic] = []
    try:
        top = {entry.name: entry for entry in os.scandir(config)}
    except FileNotFoundError:
        message = f"{root} has no folder config/; give --root the checkout that holds it"
        return [], [codes.MISSING.at(Span("config"), message)]
    except OSError as error:
        return [], [codes.FILE.at(Span("config"), f"cannot be listed: {_why(error)}")]
    for name in REQUIRED:
        if name not in top:
            message = f"the folder is missing; without it nothing can be planned, so create it or check --root {root}"
            problems.append(codes.MISSING.at(Span(f"config/{name}"), message))
    sources: list[Source] = []
    for name in sorted(top):
        where = Span(f"config/{printable(name)}")
        if name not in FOLDERS:
            if not name.startswith(".") or name.endswith(".yaml"):
                known = ", ".join(FOLDERS)
                problems.append(codes.STRAY.at(where, f"is none of config/'s folders ({known}); move or remove it"))
        elif not top[name].is_dir():
            problems.append(codes.STRAY.at(where, "must be a folder; remove the file of that name"))
        else:
            _folder(root, config / name, name, sources, problems)
    return sources, problems


def _folder(root: Path, folder: Path, name: str, sources: list[Source], problems: list[Diagnostic]) -> None:
    if folder.is_symlink() and not _inside(folder, root):
        problems.append(codes.FILE.at(Span(f"config/{name}"), "is a link out of the checkout; make it a folder"))
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(codes.FILE.at(Span(f"config/{name}"), f"cannot be listed: {_why(error)}"))
        return
    for entry in entries:
        if entry.name.endswith(".yaml") and entry.name.isprintable():
            sources.append(Source(entry.path, f"config/{name}/{entry.name}", name))
        elif not entry.name.startswith(".") or entry.name.endswith(".yaml"):
            where = Span(f"config/{name}/{printable(entry.name)}")
            hint = "rename it to .yaml" if entry.name.endswith(".yml") else "move or remove it"
            problems.append(codes.STRAY.at(where, f"is no *.yaml file, which is all that config/{name}/ holds; {hint}"))


def read(source: Source, root: Path) -> tuple[bytes, Diagnostic | None]:
    """The bytes of one file, or why they are not read."""
    where = Span(source.file)
    try:
        info = os.lstat(source.path)
        if stat.S_ISLNK(info.st_mode):
            if not _inside(Path(source.path), root):
                target = printable(str(Path(source.path).readlink()))
                return b"", codes.FILE.at(where, f"is a link out of the checkout ({target}); put a file in its place")
            info = Path(source.path).stat()
        if not stat.S_ISREG(info.st_mode):
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "a pipe, socket or device"
            return b"", codes.FILE.at(where, f"is {kind}, not a file; move or remove it")
        if info.st_size > MAX_BYTES:
            return b"", _too_large(where, info.st_size)
        handle = os.open(source.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            data = os.read(handle, MAX_BYTES + 1)
        finally:
            os.close(handle)
    except OSError as error:
        return b"", codes.FILE.at(where, f"cannot be read: {_why(error)}")
    return (b"", _too_large(where, len(data))) if len(data) > MAX_BYTES else (data, None)


def _too_large(where: Span, size: int) -> Diagnostic:
    return codes.SIZE.at(where, f"has {size:,} bytes, above the limit of {MAX_BYTES:,}; split or shorten it")


def _inside(path: Path, root: Path) -> bool:
    return Path(os.path.realpath(path, strict=True)).is_relative_to(root.resolve())


def _why(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "its links run in a circle"
    if error.errno == errno.ENOENT:
        return "it is a link to nothing"
    return os.strerror(error.errno) if error.errno else type(error).__name__
