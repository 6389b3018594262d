"""What the kernel refuses or drops is counted, said, and made good: nothing is missed."""

from __future__ import annotations

import array
import fcntl
import json
import os
import resource
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.watch import closed, tree
from tests import waiting
from tests.watch import watching, writer
from tests.watch.watching import Watched

ROOT = Path(__file__).parents[2]


def test_after_an_overflow_all_is_listed_again(spool: Path) -> None:
    watched = Watched(spool, bound_bytes=1)
    watched.settle()
    paths = [spool / "one", spool / "two"]
    # Not taken meanwhile: the reader holds one buffer and stops. Other files in turn, or events would be merged.
    for turn in range(30_000):
        os.close(os.open(paths[turn % 2], os.O_CREAT | os.O_WRONLY))
    writer.main(str(spool / "new"), 30, 2)
    watched.until(lambda: len(watched.names) == 62)
    watched.settle()
    assert len(set(watched.names)) == 62
    assert watched.tree.counts.overflows == 1
    assert watched.tree.counts.listings == 2
    watched.close()


def emptied(queue: int) -> None:
    """Wait until the kernel's queue has been read, though nobody takes what was."""
    left = array.array("i", [1])

    def empty() -> bool:
        fcntl.ioctl(queue, termios.FIONREAD, left)
        return not left[0]

    waiting.until(empty, "the queue is read", step_s=0.001)


def test_the_reader_keeps_what_the_kernel_would_have_dropped(watched: Watched) -> None:
    paths = [watched.folder / "one", watched.folder / "two"]
    for turn in range(30_000):
        os.close(os.open(paths[turn % 2], os.O_CREAT | os.O_WRONLY))
        if turn % 3000 == 0:
            emptied(watched.tree._reader.queue)
    watched.settle()
    assert watched.names == [b"one", b"two"]
    assert watched.tree.counts.overflows == 0


def limited(prefix: list[str], folder: Path, count: int, *, log: Path) -> Any:
    """The watch as a program below `prefix`, while 200 files are written into 100 new directories."""
    words = [*prefix, sys.executable, watching.__file__, str(folder), str(count)]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=-1, stdout=-1, stderr=errors, text=True
        ) as run,
    ):
        assert run.stdin is not None and run.stdout is not None
        assert run.stdout.readline() == "ready\n", log.read_text()
        writer.main(str(folder), 100, 2)
        run.stdin.write("go\n")
        run.stdin.close()
        said = run.stdout.read()
        assert run.wait() == 0, log.read_text()
    return json.loads(said)


def test_directories_without_a_watch_are_listed_instead(spool: Path, tmp_path: Path) -> None:
    limit = 'echo 20 > /proc/sys/user/max_inotify_watches && exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh"]
    log = tmp_path / "log"
    seen = limited(prefix, spool, 200, log=log)
    assert len(set(seen["names"])) == len(seen["names"]) == 200
    assert seen["watched"] == 20
    assert seen["unwatched"] == 86
    assert seen["exhausted_watches"] >= 86
    assert log.read_text().count("no inotify watch is left") == 1
    assert "raise /proc/sys/fs/inotify/max_user_watches" in log.read_text()


@contextmanager
def no_descriptors_left() -> Iterator[list[int]]:
    """All that this process may open are open; closing one of the list leaves room for one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 16, hard)
    )
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.dup(0))
        yield taken
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_directories_wait_until_there_are_descriptors_again(watched: Watched) -> None:
    with no_descriptors_left() as taken:
        (watched.folder / "day").mkdir()
        watched.until(lambda: watched.tree.counts.exhausted_descriptors > 0)
        assert watched.tree.watched == 1
        for _ in range(3):
            os.close(taken.pop())
        (watched.folder / "day" / "one").write_bytes(b"1")
        watched.until(lambda: watched.names == [b"day/one"])
    with no_descriptors_left():
        assert closed.look(watched.tree.root, b"day/one") == (closed.State.NO_DESCRIPTOR, None)


@pytest.mark.parametrize("room", range(4))
def test_a_watch_that_cannot_begin_says_why_in_one_line_and_leaves_nothing_open(spool: Path, room: int) -> None:
    with no_descriptors_left() as taken:
        for _ in range(room):
            os.close(taken.pop())
        with pytest.raises(tree.WatchError, match=r"no descriptor or inotify instance is left; raise RLIMIT_NOFILE or"):
            Watched(spool)
        again = [os.dup(0) for _ in range(room)]
        taken += again
