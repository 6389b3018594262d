"""No file is missed in directories that appear and fill up faster than they can be watched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from node.watch.tree import Kind
from tests.watch import writer
from tests.watch.watching import Watched


def test_none_of_10_000_files_in_2_000_new_directories_is_missed(watched: Watched) -> None:
    with subprocess.Popen([sys.executable, writer.__file__, str(watched.folder), "2000", "5"]) as writing:
        watched.until(lambda: len(watched.names) >= 10_000)
        assert writing.wait() == 0
    watched.settle()
    there = [os.fsencode(path.relative_to(watched.folder)) for path in watched.folder.rglob("*") if path.is_file()]
    assert watched.names == sorted(there)
    assert len(there) == 10_000
    assert watched.tree.counts.listings == 1, "none was found by listing all again"


def test_what_was_there_before_the_start_is_listed_once(spool: Path) -> None:
    writer.main(str(spool), 20, 5)
    watched = Watched(spool)
    watched.settle()
    assert len(watched.names) == 100
    assert {(kind, many) for (kind, path), many in watched.happened.items() if path in watched.names} == {
        (Kind.LISTED, 1)
    }
    watched.close()


def test_a_tree_that_is_moved_in_is_reported_with_its_new_names(watched: Watched, tmp_path: Path) -> None:
    writer.main(str(tmp_path / "elsewhere"), 40, 2)
    (tmp_path / "elsewhere").rename(watched.folder / "moved")
    watched.until(lambda: len(watched.names) == 80)
    (watched.folder / "moved" / "2020" / "01" / "01" / "late").write_bytes(b"1")
    watched.settle()
    assert b"moved/2020/01/01/late" in watched.names
    assert all(name.startswith(b"moved/2020/") for name in watched.names)


def test_a_directory_that_moves_within_the_tree_is_still_watched(watched: Watched) -> None:
    old = watched.folder / "old" / "below"
    old.mkdir(parents=True)
    watched.settle()
    (watched.folder / "old").rename(watched.folder / "new")
    (watched.folder / "new" / "below" / "one").write_bytes(b"1")
    old.mkdir(parents=True)
    (old / "two").write_bytes(b"2")
    watched.settle()
    assert watched.names == [b"new/below/one", b"old/below/two"]
    assert watched.tree.watched == 5


def test_a_directory_that_was_moved_away_is_watched_no_longer(watched: Watched, tmp_path: Path) -> None:
    (watched.folder / "day" / "below").mkdir(parents=True)
    watched.settle()
    (watched.folder / "day").rename(tmp_path / "away")
    (tmp_path / "away" / "below" / "file").write_bytes(b"1")
    watched.settle()
    assert watched.names == []
    assert watched.tree.watched == 1


def test_directories_that_are_deleted_and_made_again_leave_no_watch_behind(watched: Watched) -> None:
    for turn in range(50):
        day = watched.folder / "2026" / "11" / "25"
        day.mkdir(parents=True)
        (day / f"{turn}").write_bytes(b"1")
        watched.settle()
        shutil.rmtree(watched.folder / "2026")
    watched.settle()
    assert len(watched.names) == 50
    assert watched.tree.watched == 1


def test_the_folder_itself_may_be_removed_and_made_again(watched: Watched, tmp_path: Path) -> None:
    watched.folder.rename(tmp_path / "away")
    watched.until(lambda: watched.tree.unwatched == 1)
    watched.folder.mkdir()
    (watched.folder / "first").write_bytes(b"1")
    watched.until(lambda: watched.names == [b"first"])
    shutil.rmtree(watched.folder)
    watched.until(lambda: watched.tree.unwatched == 1)
    (watched.folder / "day").mkdir(parents=True)
    (watched.folder / "day" / "second").write_bytes(b"2")
    watched.until(lambda: watched.names == [b"day/second", b"first"])
    watched.settle()
    (tmp_path / "away" / "elsewhere").write_bytes(b"3")
    watched.settle()
    assert watched.names == [b"day/second", b"first"]
