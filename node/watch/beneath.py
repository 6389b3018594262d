"""Opening what lies below a folder, and never anything else.

Whoever writes into a spool may make symbolic links and move folders about at any moment, and the reader has more rights
than the writer. So every opening is one call of openat2(2), Linux 5.6, that follows no symbolic link in any component
and does not leave the folder. Names are bytes.
"""

from __future__ import annotations

import ctypes
import errno
import os

NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Of an opening that fails because no descriptor is left, or no memory for one: it may succeed a moment later."""
_OPENAT2 = 437
"""The same number on every architecture that Python runs on."""
_NO_MAGIC_LINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_LIBC = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _how(flags: int) -> _How:
    return _How(flags | os.O_RDONLY | os.O_CLOEXEC, 0, _NO_MAGIC_LINKS | _NO_SYMLINKS | _BENEATH)


_FILE = _how(os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
_DIRECTORY = _how(os.O_DIRECTORY)
_SIZE = ctypes.sizeof(_How)


def open_file(folder: int, path: bytes) -> int:
    """A descriptor for reading the file at `path` below the folder that is open as `folder`. Raises `OSError`: ELOOP
    for a symbolic link anywhere in the path, EXDEV where it would lead out."""
    return _open(folder, path, _FILE)


def open_directory(folder: int, path: bytes) -> int:
    """The same for a directory; an empty path is the folder itself."""
    return _open(folder, path or b".", _DIRECTORY)


def _open(folder: int, path: bytes, how: _How) -> int:
    while True:
        descriptor = int(_LIBC.syscall(_OPENAT2, folder, path, ctypes.byref(how), _SIZE))
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number != errno.EINTR:  # a signal came; again, as os.open does
            raise OSError(number, os.strerror(number), os.fsdecode(path))
