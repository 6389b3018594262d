"""A file system as a plain value: paths with a mode and what they hold, no owners and no times.

Everything in our images belongs to root and has one time, so neither is kept. Paths are relative, without a leading
slash. Packages are read into it as a Debian system with a merged /usr has them: a file of `bin/` lies in `usr/bin/`.
"""

from __future__ import annotations

import posixpath
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node.images.errors import ImageError

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file's content, a link's target (as bytes), or nothing for a folder; `mode` has the type bits, too."""

    mode: int
    data: bytes = b""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def permissions(self) -> int:
        return stat.S_IMODE(self.mode)


@dataclass(slots=True)
class Tree:
    """Entries by path."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def __contains__(self, path: str) -> bool:
        return path in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.entries))

    def file(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """A regular file; folders above it are made."""
        self._put(path, Entry(stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data))

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._put(path, Entry(stat.S_IFLNK | 0o777, target.encode()))

    def folder(self, path: str, mode: int = 0o755) -> None:
        """A folder, also one that is there."""
        self._put(path, Entry(stat.S_IFDIR | mode))

    def read(self, path: str) -> bytes:
        """Content of a file, through links. Raises `ImageError` where there is none."""
        return self.entries[self.resolve(path)].data

    def resolve(self, path: str) -> str:
        """The path of the file that a path leads to, links in the middle included."""
        found: list[str] = []
        rest = path.strip("/").split("/")
        for _ in range(256):
            if not rest:
                break
            found.append(rest.pop(0))
            entry = self.entries.get("/".join(found))
            if entry is not None and entry.is_link:
                target = entry.data.decode()
                base = "" if target.startswith("/") else "/".join(found[:-1])
                rest = [*posixpath.normpath(posixpath.join("/" + base, target)).strip("/").split("/"), *rest]
                found = []
        resolved = "/".join(found)
        if resolved not in self.entries:
            raise ImageError(f"/{path}: not in the packages that were asked for")
        return resolved

    def remove(self, unwanted: Callable[[str], bool]) -> None:
        """Take away files and links of which the predicate says so; folders stay."""
        for path in [path for path, entry in self.entries.items() if not entry.is_folder and unwanted(path)]:
            del self.entries[path]

    def _put(self, path: str, entry: Entry) -> None:
        path = path.strip("/")
        parent = posixpath.dirname(path)
        while parent and parent not in self.entries:
            self.entries[parent] = Entry(stat.S_IFDIR | 0o755)
            parent = posixpath.dirname(parent)
        self.entries[path] = entry


def merged(path: str) -> str:
    """Where a path of a package lies once /usr is merged; "" for the root itself."""
    path = path.removeprefix(".").strip("/")
    first, _, _ = path.partition("/")
    return f"usr/{path}" if first in MERGED else path


def unpack(package: Path, tree: Tree, *, wanted: Callable[[str], bool] = lambda path: True) -> None:
    """Put the files of a package into a tree, those for which `wanted` says so. Raises `ImageError`."""
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading:
        assert reading.stdout is not None and reading.stderr is not None
        with tarfile.open(fileobj=reading.stdout, mode="r|") as archive:
            for member in archive:
                path = merged(member.name)
                if path and (member.isdir() or wanted(path)):
                    _add(archive, member, path, tree)
        while reading.stdout.read(1 << 16):
            pass
        said = reading.stderr.read().decode(errors="replace").strip()
    if reading.returncode != 0:
        raise ImageError(f"{package.name}: dpkg-deb: {said[:256]}")


def _add(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, tree: Tree) -> None:
    if member.isdir():
        if path not in MERGED and path not in tree:
            tree.folder(path, member.mode & 0o7777)
    elif member.issym():
        tree.link(path, member.linkname)
    elif member.islnk():
        tree.entries[path] = tree.entries[merged(member.linkname)]
    elif member.isreg():
        content = archive.extractfile(member)
        assert content is not None
        tree.file(path, content.read(), member.mode & 0o7777)
    else:
        raise ImageError(f"{path}: a package with a device or a pipe in it")


def merge_usr(tree: Tree) -> None:
    """The links of a merged /usr at the root."""
    for name in ("bin", "sbin", "lib", "lib64"):
        tree.link(name, f"usr/{name}")
        if f"usr/{name}" not in tree:
            tree.folder(f"usr/{name}")
