"""A file is complete when nobody writes to it any more, and only then."""

from __future__ import annotations

import fcntl
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.watch import closed
from node.watch.tree import Kind
from tests.watch.watching import Watched

ROOT = Path(__file__).parents[2]


def test_a_file_is_complete_at_its_last_close(watched: Watched) -> None:
    path = watched.folder / "file"
    with path.open("wb") as first:
        first.write(b"one")
        first.flush()
        with path.open("ab") as second:
            second.write(b"two")
        watched.settle()
        assert watched.names == []
        assert watched.happened[Kind.CLOSED, b"file"] == watched.states[closed.State.WRITING] == 1
    watched.settle()
    assert watched.names == [b"file"]


def test_a_file_that_is_written_through_a_mapping_is_not_complete(watched: Watched) -> None:
    path = watched.folder / "file"
    path.write_bytes(b"\0" * mmap.PAGESIZE)
    with path.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
    watched.settle()
    watched.forget()
    watched.tree.relist()
    watched.settle()
    assert (watched.happened[Kind.LISTED, b"file"], watched.names) == (1, [])
    mapped.close()
    watched.settle()
    assert watched.names == [b"file"]


def test_reading_a_file_is_no_event(watched: Watched) -> None:
    path = watched.folder / "file"
    path.write_bytes(b"1")
    watched.settle()
    watched.forget()
    assert path.read_bytes() == b"1"
    watched.settle()
    assert not [path for _, path in watched.happened if path == b"file"]


@pytest.mark.parametrize("place", ["within", "from elsewhere"])
def test_a_file_that_is_renamed_into_place_is_complete_when_it_is_closed(
    watched: Watched, tmp_path: Path, place: str
) -> None:
    source = (watched.folder if place == "within" else tmp_path) / ".partial"
    final = watched.folder / "final"
    with source.open("wb") as opened:
        opened.write(b"all of it")
        source.rename(final)
        watched.settle()
        assert (watched.happened[Kind.MOVED_IN, b"final"], watched.names) == (1, [])
    watched.settle()
    assert watched.names == [b"final"]


def test_a_file_that_is_open_before_the_start_is_complete_when_it_is_closed(spool: Path) -> None:
    with (spool / "file").open("wb") as opened:
        watched = Watched(spool)
        watched.settle()
        assert (watched.happened[Kind.LISTED, b"file"], watched.names) == (1, [])
        opened.write(b"1")
    watched.settle()
    assert watched.names == [b"file"]
    watched.close()


def test_a_file_that_is_moved_away_is_told(watched: Watched, tmp_path: Path) -> None:
    (watched.folder / "file").write_bytes(b"1")
    (watched.folder / "file").rename(tmp_path / "away")
    watched.settle()
    assert watched.happened[Kind.MOVED_AWAY, b"file"] == 1


def test_a_writer_that_meets_a_lease_does_not_end_the_program(watched: Watched) -> None:
    path = watched.folder / "file"
    path.write_bytes(b"1")
    held = os.open(path, os.O_RDONLY)
    fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    with pytest.raises(BlockingIOError):
        os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    os.close(held)
    watched.settle()
    assert watched.names == [b"file"]


_LOOK = """
import os, sys
sys.path.insert(0, sys.argv[2])
from node.watch import closed
print(closed.look(os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY), b"file")[0].name)
"""


def looked(spool: Path, *prefix: str) -> str:
    """What a program with fewer rights sees."""
    words = [*prefix, sys.executable, "-c", _LOOK, str(spool), str(ROOT)]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_without_leases_it_is_told_that_nothing_is_proven(open_to_all: Path) -> None:
    """Another owner's files, without CAP_LEASE, as in a container that may only override permissions."""
    path = open_to_all / "file"
    path.write_bytes(b"1")
    os.chown(path, 65534, 65534)
    assert looked(open_to_all) == "CLOSED", "this process may"
    assert looked(open_to_all, "setpriv", "--bounding-set=-lease", "--inh-caps=-lease") == "UNPROVEN"


def test_a_file_that_may_not_be_read_is_told(open_to_all: Path) -> None:
    (open_to_all / "file").write_bytes(b"1")
    (open_to_all / "file").chmod(0)
    another = ("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")
    assert looked(open_to_all, *another) == "UNREADABLE"
