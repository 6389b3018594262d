"""The folder of a datatype, reached by descriptors of its folders and never through a symbolic link.

Experiments write there under another user; a link to somewhere else must never make this program read, or delete, what
is not theirs. Descriptors of the folders in use are kept, which also saves the kernel most of each path.
"""

from __future__ import annotations

import errno
import os
import resource
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from node.watch import beneath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without waiting: a FIFO has no writer yet, a device may have no end.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KEPT = 64
_SHARE = 64
"""One of so many descriptors that the process may have: there is a tree for each datatype, and for each bundle that is
being deleted."""
# Not ENOMEM: closing folders gives no memory back.
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
_Found = TypeVar("_Found")


class Tree:
    """For one thread. Names are relative to `root`; methods raise `OSError`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: OrderedDict[str, int] = OrderedDict()
        self._kept = max(1, min(_KEPT, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE))

    def _folder(self, name: str) -> int:
        found = self._folders.get(name)
        if found is not None:
            self._folders.move_to_end(name)
            return found
        made = beneath.open_directory(self._folder(""), os.fsencode(name)) if name else os.open(self.root, _FOLDER)
        self._folders[name] = made
        if len(self._folders) > self._kept:
            os.close(self._folders.popitem(last=False)[1])
        return made

    def _at(self, name: str, act: Callable[[str, int], _Found]) -> _Found:
        folder, _, base = name.rpartition("/")
        kept = folder in self._folders
        try:
            return act(base, self._folder(folder))
        except OSError as error:
            # The folder may have been removed, and made anew; or the folders that are kept are one too many.
            if not (kept and isinstance(error, FileNotFoundError)) and error.errno not in _NO_DESCRIPTOR:
                raise
            self.close()
            return act(base, self._folder(folder))

    def open(self, name: str) -> int:
        """A descriptor of what is there, whatever it is."""
        return self._at(name, lambda base, folder: os.open(base, _FILE, dir_fd=folder))

    def stat(self, name: str) -> os.stat_result:
        return self._at(name, lambda base, folder: os.stat(base, dir_fd=folder, follow_symlinks=False))

    def unlink(self, name: str) -> None:
        self._at(name, lambda base, folder: os.unlink(base, dir_fd=folder))

    def move(self, name: str, to: Path) -> None:
        """Out of the tree, within the file system."""
        self._at(name, lambda base, folder: os.rename(base, to, src_dir_fd=folder))

    def close(self) -> None:
        """Keep no descriptor."""
        while self._folders:
            with suppress(OSError):
                os.close(self._folders.popitem()[1])
