"""Files that are replaced as a whole, and turns in doing so.

A reader sees what a file held before or what it holds now, also after a crash of the machine: the new content is
written beside it, flushed, accepted, and renamed over it. Where a writer must first judge what is there, `turn` makes
both one step among processes; the kernel gives the turn back when its holder is killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconcilers.core.errors import Permanent, Temporary

TURN_WAIT_S = 10.0
"""How long a writer waits for its turn; the one that has it needs milliseconds, or as long as its check takes."""
_PASSING = frozenset({errno.EAGAIN, errno.EINTR, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT})


def failure(error: OSError, path: Path) -> Temporary | Permanent:
    """Ours for the operating system's: what a retry may mend is `Temporary`."""
    text = f"{path}: {error.strerror or error}"
    return Temporary(text) if error.errno in _PASSING else Permanent(text)


def replace(
    path: Path,
    content: bytes,
    *,
    prefix: str = ".new-",
    mode: int = 0o644,
    accept: Callable[[Path], None] = lambda unfinished: None,
) -> None:
    """Write a file whole. `accept` may raise to refuse what would be written, which it is given as a file.

    `prefix` begins the name of the unfinished file, for whoever removes what a killed process left.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=prefix, dir=path.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            accept(unfinished)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync(path.parent)
    except OSError as error:
        raise failure(error, path) from None


def remove(path: Path) -> None:
    """Delete a file; absent is fine."""
    try:
        path.unlink(missing_ok=True)
        _sync(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise failure(error, path) from None


@contextmanager
def turn(guard: Path, setting: str) -> Iterator[None]:
    """Hold the guard file; `setting` names what of the configuration says where its directory is."""
    try:
        descriptor = os.open(guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        raise Permanent(f"{guard.parent}: no such directory; create it or correct {setting}") from None
    except OSError as error:
        raise failure(error, guard) from None
    try:
        _wait(descriptor, guard, TURN_WAIT_S)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, guard: Path, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Temporary(f"{guard}: held by another process for {limit_s:.0f} s; try again") from None
            time.sleep(0.01)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
