"""Rules that ask git where there is none or only some: notices, shallow and partial clones, tarballs, broken ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconcilers.load import fleet as loading
from reconcilers.load import past as reading
from reconcilers.load.cache import Cache
from tests.rules.repositories import (
    SITE,
    TODAY,
    Repository,
    release,
    shallow,
    state,
    take,
)


def test_a_shallow_clone_excuses_what_the_full_one_does_not(plain: Repository, tmp_path: Path) -> None:
    state(plain, "active", "retired")
    plain.commit()
    assert plain.codes() == ["S14"]
    assert loading.load(shallow(plain, tmp_path / "copy"), today=TODAY).problems == ()


def test_single_files_are_judged_without_git(plain: Repository) -> None:
    state(plain, "active", "retired")
    loaded = loading.load(plain.root, today=TODAY, only=[Path(SITE)])
    assert (loaded.problems, loaded.notes) == ((), ())


# What is kept


def test_the_log_is_kept_by_commit_and_answers_the_same(plain: Repository, tmp_path: Path) -> None:
    kept = Cache(tmp_path / "kept")
    fleet = loading.load(plain.root, today=TODAY, use_cache=False).fleet
    first = reading.read(plain.root, fleet, cache=kept)
    assert len(list((tmp_path / "kept").glob("??/*"))) == 1
    assert reading.read(plain.root, fleet, cache=kept) == first == reading.read(plain.root, fleet)
    state(plain, "active", "retired")
    plain.commit()
    fleet = loading.load(plain.root, today=TODAY, use_cache=False).fleet
    second = reading.read(plain.root, fleet, cache=kept)
    assert second == reading.read(plain.root, fleet) != first
    assert len(list((tmp_path / "kept").glob("??/*"))) == 2


def test_settings_of_a_user_do_not_change_what_git_says(plain: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    release(plain, "2026-11-01", "moved")
    take(plain)
    plain.commit("2026-11-02")
    expected = plain.problems()
    assert [line.split()[1] for line in expected] == ["E01"]
    settings = {
        "diff.renames": "copies",
        "log.showRoot": "false",
        "log.showSignature": "true",
        "core.quotePath": "true",
        "color.ui": "always",
        "format.pretty": "oneline",
        "log.date": "relative",
        "diff.relative": "true",
        "log.diffMerges": "off",
        "log.decorate": "full",
    }
    for number, (name, value) in enumerate(settings.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", name)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(settings)))
    assert plain.problems() == expected


def test_no_process_of_git_is_left_behind(plain: Repository) -> None:
    state(plain, "active", "retired")
    plain.commit()
    for _ in range(3):
        assert plain.codes() == ["S14"]
    mine = Path("/proc/self/task").parent / "task" / str(os.getpid()) / "children"
    names = [Path(f"/proc/{child}/cmdline").read_bytes() for child in mine.read_text().split()]
    assert not [name for name in names if str(plain.top).encode() in name or b"cat-file" in name]
