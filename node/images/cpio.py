"""Write a tree as the archive that the kernel unpacks at its start: cpio `newc`, see "initramfs buffer format" there.

The same tree gives the same bytes: entries in order of their paths, owner 0, one time, inode numbers counted.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator

from node.images.tree import Tree

TRAILER = "TRAILER!!!"


def archive(tree: Tree, *, time_s: int, devices: bool = False) -> bytes:
    """The whole archive, padded to 512 bytes, so that another can follow it. `devices` adds /dev/console.

    The kernel opens the console before it runs init; without the node the first messages are lost.
    """
    return b"".join(_blocks(tree, time_s, devices=devices))


def _blocks(tree: Tree, time_s: int, *, devices: bool) -> Iterator[bytes]:
    written, number = 0, 0
    for number, path in enumerate(tree, 1):
        entry = tree.entries[path]
        block = _header(path, entry.mode, number, time_s, len(entry.data)) + entry.data + _pad(len(entry.data), 4)
        written += len(block)
        yield block
    if devices:
        block = _header("dev/console", stat.S_IFCHR | 0o600, number + 1, time_s, 0, device=(5, 1))
        written += len(block)
        yield block
    end = _header(TRAILER, 0, 0, 0, 0)
    yield end
    yield _pad(written + len(end), 512)


def _header(path: str, mode: int, inode: int, time_s: int, size: int, device: tuple[int, int] = (0, 0)) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, time_s, size, 0, 0, *device, len(name), 0)
    head = b"070701" + b"".join(f"{value:08x}".encode() for value in fields) + name
    return head + _pad(len(head), 4)


def _pad(length: int, block: int) -> bytes:
    return b"\0" * (-length % block)
