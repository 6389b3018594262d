"""Which shared libraries a program needs, read from its ELF header: so that an image holds them and no others.

Only what the dynamic section names (DT_NEEDED) and the interpreter count; what a program opens at run time by itself
is named by whoever asks for the program. Format: System V ABI, 64 bit, little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from node.images import tree as trees
from node.images.errors import ImageError
from node.images.tree import Tree

FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5


def needed(data: bytes) -> tuple[str, ...]:
    """Names of libraries, and the interpreter's path if there is one; nothing for what is no ELF file."""
    if data[:4] != b"\x7fELF":
        return ()
    (headers_at,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, headers_at + index * size) for index in range(count)]
    found: list[str] = []
    for kind, _, offset, _, _, length in headers:
        if kind == _PT_INTERP:
            found.append(data[offset : offset + length].rstrip(b"\0").decode())
        elif kind == _PT_DYNAMIC:
            pairs = list(struct.iter_unpack("<QQ", data[offset : offset + length]))
            table = next((value for tag, value in pairs if tag == _DT_STRTAB), 0)
            start = next(
                table - address + place
                for kind, _, place, address, _, extent in headers
                if kind == _PT_LOAD and address <= table < address + extent
            )
            for tag, value in pairs:
                if tag == _DT_NEEDED:
                    end = data.index(b"\0", start + value)
                    found.append(data[start + value : end].decode())
    return tuple(found)


def copy(source: Tree, target: Tree, paths: Iterable[str], *, beside: Sequence[str] = ()) -> None:
    """Put files and every library that they need, and those need, from one tree into another.

    `beside` names more folders that hold libraries, looked into first. Raises `ImageError`.
    """
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        if path in target:
            continue
        place = source.resolve(path)
        entry = source.entries[place]
        if path == place or path not in source.entries:
            target.file(place, entry.data, entry.permissions)
        else:
            target.link(path, f"/{place}")
            waiting.append(place)
        waiting.extend(_library(source, name, path, (*beside, *FOLDERS)) for name in needed(entry.data))


def _library(source: Tree, name: str, user: str, folders: Sequence[str]) -> str:
    if name.startswith("/"):
        return trees.merged(name)
    for folder in folders:
        if f"{folder}/{name}" in source:
            return f"{folder}/{name}"
    raise ImageError(f"{user} needs {name}, which no package that was asked for holds")
