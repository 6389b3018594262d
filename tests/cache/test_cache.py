"""The cache of rendered objects: whole entries or none, bounded, and never in the way."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconcilers.load import cache
from reconcilers.load.cache import Cache


def key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def entries(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("??/*") if path.is_file())


def test_a_text_that_was_put_is_got_by_another_process(tmp_path: Path) -> None:
    Cache(tmp_path).put(key("a"), '{"é": 1}')
    assert Cache(tmp_path).get(key("a")) == '{"é": 1}'
    assert Cache(tmp_path).get(key("b")) is None


@pytest.mark.parametrize("damage", [b"", b"\n", b"rubbish", b"\xff\xfe\n{}"])
def test_a_damaged_entry_reads_as_absent_and_is_replaced(tmp_path: Path, damage: bytes) -> None:
    kept = Cache(tmp_path)
    kept.put(key("a"), "[1]")
    entries(tmp_path)[0].write_bytes(damage)
    assert kept.get(key("a")) is None
    kept.put(key("a"), "[1]")
    assert kept.get(key("a")) == "[1]"


def test_every_torn_entry_reads_as_absent(tmp_path: Path) -> None:
    kept = Cache(tmp_path)
    kept.put(key("a"), "[1, 2, 3]")
    path = entries(tmp_path)[0]
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert kept.get(key("a")) is None


def test_the_least_recently_used_go_first_when_it_is_full(tmp_path: Path) -> None:
    for number in range(5):
        Cache(tmp_path).put(key(str(number)), "x" * 100)
    now = time.time()
    for age, number in enumerate((3, 1, 0, 2, 4)):
        path = tmp_path / key(str(number))[:2] / f"{key(str(number))[2:]}.json"
        os.utime(path, (now - age, now - age))
    kept = Cache(tmp_path, max_bytes=340)
    kept.prune()
    assert [number for number in range(5) if kept.get(key(str(number))) is not None] == [1, 3]


def test_an_old_entry_is_removed_though_there_is_room(tmp_path: Path) -> None:
    kept = Cache(tmp_path, max_age_s=3600)
    kept.put(key("a"), "1")
    kept.put(key("b"), "2")
    old = time.time() - 7200
    os.utime(tmp_path / key("a")[:2] / f"{key('a')[2:]}.json", (old, old))
    kept.prune()
    assert (kept.get(key("a")), kept.get(key("b"))) == (None, "2")


def test_a_hit_on_an_entry_that_was_long_unused_counts_as_use(tmp_path: Path) -> None:
    kept = Cache(tmp_path)
    kept.put(key("a"), "1")
    path = entries(tmp_path)[0]
    old = time.time() - 10 * 24 * 3600
    os.utime(path, (old, old))
    assert kept.get(key("a")) == "1"
    assert path.stat().st_mtime > old + 3600


def test_a_directory_that_cannot_be_made_is_only_a_slower_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = Cache(tmp_path / "file" / "render")
    kept.put(key("a"), "1")
    kept.put(key("b"), "2")
    assert kept.get(key("a")) is None


def test_writers_of_the_same_entry_do_not_disturb_each_other(tmp_path: Path) -> None:
    text = "x" * 10_000

    def written(_: int) -> str | None:
        Cache(tmp_path).put(key("a"), text)
        return Cache(tmp_path).get(key("a"))

    with ThreadPoolExecutor(8) as pool:
        got = set(pool.map(written, range(64)))
    assert got == {text}
    assert len(entries(tmp_path)) == 1


def test_the_directory_follows_the_xdg_variable_if_it_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_directory() == tmp_path / "mlab" / "render"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache.default_directory() == tmp_path / "home" / ".cache" / "mlab" / "render"
