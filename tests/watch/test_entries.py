"""Only regular files below the folder are reported, under names of any bytes; nothing else is opened."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node.watch import beneath, closed, tree
from tests.watch.watching import Watched

ROOT = Path(__file__).parents[2]


def test_names_are_bytes(watched: Watched) -> None:
    names = sorted([b"a\nb", b"\xff\xfe", b"n" * 255, b" ", b"-rf", "é".encode(), b"d\n\xff/in\tside"])
    (watched.folder / "d\n\udcff").mkdir()
    for name in names:
        (watched.folder / os.fsdecode(name)).write_bytes(name)
    watched.settle()
    assert watched.names == names


def test_links_pipes_sockets_and_devices_are_neither_opened_nor_reported(watched: Watched, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not of the spool")
    (watched.folder / "link").symlink_to(secret)
    os.mkfifo(watched.folder / "pipe")
    os.mknod(watched.folder / "device", 0o600 | 0o020000, os.makedev(1, 5))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(watched.folder / "socket"))
        reader = os.open(watched.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        # The close of a pipe's writer is an event like that of a file.
        os.close(os.open(watched.folder / "pipe", os.O_WRONLY))
        watched.tree.relist()
        watched.settle()
        assert os.read(reader, 1) == b"", "no writer is left, and none came"
        os.close(reader)
    assert watched.names == []
    assert watched.states[closed.State.IRREGULAR] >= 4


def test_a_link_to_a_directory_leads_nowhere(watched: Watched, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"not of the spool")
    (watched.folder / "link").symlink_to(outside)
    watched.tree.relist()
    watched.settle()
    assert watched.names == []
    assert watched.tree.watched == 1
    for path in (b"link/secret", b"../outside/secret", os.fsencode(outside / "secret")):
        with pytest.raises(OSError, match=r"symbolic|cross-device"):
            beneath.open_file(watched.tree.root, path)
    assert closed.look(watched.tree.root, b"link/secret") == (closed.State.IRREGULAR, None)


def test_a_folder_that_is_absent_or_no_directory_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name, why in (("absent", "No such file"), ("file", "Not a directory")):
        with pytest.raises(tree.WatchError, match=rf"{name}: cannot be watched: {why}.*; give a folder"):
            Watched(tmp_path / name)


def open_and_close(spool: Path) -> None:
    def opened() -> list[Path]:
        return sorted(Path("/proc/self/fd").iterdir()) + sorted(Path("/proc/self/task").iterdir())

    before = opened()
    for _ in range(3):
        watched = Watched(spool)
        (spool / "day").mkdir()
        for number in range(10):
            (spool / "day" / f"{number}").write_bytes(b"1")
        next(watched.tree.happened())
        watched.close()
        shutil.rmtree(spool / "day")
    assert opened() == before


def test_closing_leaves_no_thread_and_no_descriptor(spool: Path) -> None:
    """In a process of its own: what an earlier test left behind in this one may end meanwhile."""
    code = "import sys, pathlib; from tests.watch import test_entries as t; t.open_and_close(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(spool)], cwd=ROOT, check=True, timeout=120)
