"""Searching: old files in the order of their times, empty folders away, whatever else is there."""

from __future__ import annotations

import os
import time
from pathlib import Path

from node.pusher import finder
from node.pusher.timers import Wait, retry_s
from tests.pusher.conftest import Spool
from tests.pusher.lanes import datatype

HOUR = 3600


def _age(path: Path, hours: float) -> None:
    moment = time.time() - hours * HOUR
    os.utime(path, (moment, moment), follow_symlinks=False)


def test_old_files_are_found_oldest_first_and_young_ones_not(spool: Spool) -> None:
    for name, hours in (("b", 13), ("a", 12), ("c", 27), ("young", 1)):
        _age(spool.write(f"2026/11/22/{name}", name.encode()), hours)
    _age(spool.write("root", b"1234"), 30)
    found = finder.search(datatype(spool), 4 * HOUR)
    assert [(size, name) for _, size, name in found] == [
        *((4, "root"), (1, "2026/11/22/c"), (1, "2026/11/22/b"), (1, "2026/11/22/a"))
    ]
    assert [name for _, _, name in finder.search(datatype(spool), 0)][-1] == "2026/11/22/young"


def test_folders_that_are_empty_for_a_day_go(spool: Spool, tmp_path: Path) -> None:
    root = spool.folder / "ndt7"
    for name in ("2026/11/20", "2026/11/21", "2026/11/22", "2025/01/01", "ndt7"):
        (root / name).mkdir(parents=True)
    spool.write("2026/11/21/file", b"x")
    (tmp_path / "elsewhere").mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    for path in sorted(root.rglob("*"), reverse=True):
        _age(path, 26)
    _age(root / "2026/11/22", 24)
    finder.search(datatype(spool), 0)
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert left == ["2025", "2025/01", "2026", "2026/11", "2026/11/21", "2026/11/21/file", "2026/11/22", "link", "ndt7"]
    _age(root / "2025/01", 26)
    _age(root / "2025", 26)
    finder.search(datatype(spool), 0)
    assert not (root / "2025/01").exists() and (tmp_path / "elsewhere").is_dir()


def test_a_link_to_itself_is_no_folder(spool: Spool) -> None:
    spool.write("2026/11/22/x", b"x")
    (spool.folder / "ndt7/2026/11/21").symlink_to("21")
    assert {name for _, _, name in finder.search(datatype(spool), 0)} == {"2026/11/21", "2026/11/22/x"}


def test_waits_are_exponential_between_their_limits() -> None:
    wait = Wait(30, 60, 120)
    drawn = [wait.draw() for _ in range(20_000)]
    assert 0.36 < sum(each == 30 for each in drawn) / len(drawn) < 0.42
    assert 0.12 < sum(each == 120 for each in drawn) / len(drawn) < 0.16
    assert 56 < sum(drawn) / len(drawn) < 60
    assert [
        Wait(*each).error() == "" for each in ((0, 0, 0), (1, 2, 0), (1, 2, 2), (3, 2, 9), (1, 2, 1), (-1, 2, 3))
    ] == [*(True, True, True, False, False, False)]


def test_retries_double_up_to_between_half_of_five_minutes_and_five() -> None:
    for failures in range(1, 40):
        wait = retry_s(failures, 0)
        plain = 0.1 * 2 ** (failures - 1)
        assert 0.75 * plain <= wait <= 1.25 * plain if plain <= 300 else 150 <= wait < 300
    assert retry_s(1, 17) == 17
    assert retry_s(30, 0, 2) <= 2
