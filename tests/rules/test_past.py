"""Rules that ask git, on real repositories: small ones, shallow and partial clones, tarballs, broken ones."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from reconcilers.load import fleet as loading
from reconcilers.load import past as reading
from tests import fleets
from tests.fleets import edit
from tests.rules.repositories import (
    EMBARGO,
    SITE,
    TODAY,
    WEHE,
    Repository,
    release,
    shallow,
    state,
    take,
)

GIT_RULES = ("S11", "S14", "E01", "M01")


# S14


@pytest.mark.parametrize("committed", [True, False])
def test_a_site_that_drained_may_be_retired(repository: Repository, committed: bool) -> None:
    state(repository, "active", "lame-duck")
    repository.commit()
    state(repository, "lame-duck", "retired")
    if committed:
        repository.commit()
    assert repository.problems() == []


def test_a_site_that_is_retired_at_once_is_told_before_and_after_the_commit(repository: Repository) -> None:
    state(repository, "active", "retired")
    (before,) = repository.problems()
    assert before.startswith(f"{SITE}:8:20: S14 site.drained-first: lga05 was active in the last commit")
    commit = repository.commit()
    (after,) = repository.problems()
    assert f"lga05 was active until {commit}" in after
    repository.commit()
    edit(repository.root, SITE, "donated: false", "donated: true")
    repository.commit()
    assert repository.problems() == [after]


def test_what_is_allowed_once_stays_allowed(plain: Repository) -> None:
    state(plain, "active", "retired")
    path = plain.root / SITE
    path.write_text(path.read_text() + "allow:\n  - {rule: S14, reason: the building burned down}\n")
    for _ in range(2):
        assert plain.problems() == []
        plain.commit()


def test_a_site_that_came_in_as_retired_has_no_before(repository: Repository) -> None:
    text = fleets.FILES[SITE].replace("lga05", "lga02").replace("198.18.0.0/26", "198.18.7.0/26")
    text = text.replace("0:14::", "0:7::").replace("state: active", "state: retired")
    (repository.root / "config/sites/lga02.yaml").write_text(text.replace("retired: null", "retired: 2024-05-05"))
    assert repository.problems() == []
    repository.commit()
    assert repository.problems() == []


def test_two_states_that_came_in_by_one_merge_are_one_step(plain: Repository) -> None:
    plain.git("checkout", "-q", "-b", "branch")
    state(plain, "active", "lame-duck")
    plain.commit()
    state(plain, "lame-duck", "retired")
    plain.commit()
    assert plain.problems() == [], "on the branch itself it drained"
    plain.git("checkout", "-q", "main")
    plain.git("merge", "-q", "--no-ff", "-m", "merge", "branch")
    assert plain.codes() == ["S14"]


def test_two_merges_are_two_steps(plain: Repository) -> None:
    for number, (old, new) in enumerate((("active", "lame-duck"), ("lame-duck", "retired"))):
        plain.git("checkout", "-q", "-b", f"branch{number}")
        state(plain, old, new)
        plain.commit()
        plain.git("checkout", "-q", "main")
        plain.git("merge", "-q", "--no-ff", "-m", "merge", f"branch{number}")
    assert plain.problems() == []


@pytest.mark.parametrize(
    "broken", ["kind: [", "kind: Site\nlifecycle: 3\n", "", "lifecycle: {state: {a: b}}\n", "\x00\xff"]
)
def test_a_version_that_could_not_be_read_then_says_nothing_now(plain: Repository, broken: str) -> None:
    text = (plain.root / SITE).read_text()
    (plain.root / SITE).write_text(broken)
    plain.commit()
    (plain.root / SITE).write_text(text)
    state(plain, "active", "retired")
    plain.commit()
    assert plain.codes() == ["S14"], "the version before the broken one counts"


def test_states_in_block_style_quotes_and_comments_are_read(plain: Repository) -> None:
    flow = "lifecycle: {state: active, created: 2019-01-01, retired: null}\n"
    block = (
        "# state: retired, created: 2000-01-01\n"
        'lifecycle:\n  state: "active"\n  created: "2019-01-01"\n  retired: null\n'
    )
    edit(plain.root, SITE, flow, block)
    plain.commit()
    edit(plain.root, SITE, block, flow)
    state(plain, "active", "retired")
    plain.commit()
    assert plain.codes() == ["S14"]


# S11


@pytest.mark.parametrize(("created", "codes"), [("2019-01-01", []), ("2026-06-06", ["S11"])])
@pytest.mark.parametrize("committed", [True, False])
def test_a_name_comes_back_only_for_the_same_site(
    repository: Repository, created: str, codes: list[str], committed: bool
) -> None:
    text = (repository.root / SITE).read_text()
    (repository.root / SITE).unlink()
    gone = repository.commit()
    (repository.root / SITE).write_text(text.replace("2019-01-01", created))
    if committed:
        repository.commit()
    assert repository.codes() == codes
    assert all(f"created 2019-01-01 and removed in {gone}" in line for line in repository.problems())


def test_a_new_site_has_no_past(plain: Repository) -> None:
    text = fleets.FILES[SITE].replace("lga05", "lga06").replace("198.18.0.0/26", "198.18.7.0/26")
    (plain.root / "config/sites/lga06.yaml").write_text(text.replace("0:14::", "0:7::"))
    assert plain.problems() == []


# E01


@pytest.mark.parametrize("how", ["moved", "removed"])
@pytest.mark.parametrize(("day", "codes"), [("2026-05-30", ["E01"]), ("2026-05-31", [])])
def test_an_index_rests_from_the_commit_that_released_it(
    plain: Repository, how: str, day: str, codes: list[str]
) -> None:
    release(plain, "2026-03-02", how)
    take(plain)
    plain.commit(day)
    assert [code for code in plain.codes() if code != "M01"] == codes


@pytest.mark.parametrize(("released", "codes"), [("2026-08-27", []), ("2026-08-28", ["E01"])])
def test_an_index_that_is_not_committed_yet_is_taken_today(plain: Repository, released: str, codes: list[str]) -> None:
    release(plain, released, "moved")
    take(plain)
    assert plain.codes() == codes


def test_swapping_two_indexes_is_no_rest(plain: Repository) -> None:
    edit(plain.root, WEHE, "index: 5", "index: 2")
    edit(plain.root, "config/experiments/ndt.yaml", "index: 2", "index: 5")
    assert plain.codes() == ["E01", "E01"]


def test_changing_anything_else_of_an_experiment_keeps_its_tenure(plain: Repository) -> None:
    edit(plain.root, WEHE, "memory: {request: 1Gi", "memory: {request: 2Gi")
    plain.commit("2026-10-01")
    release(plain, "2026-11-01", "moved")
    loaded = loading.load(plain.root, today=TODAY, use_cache=False)
    past, _ = reading.read(plain.root, loaded.fleet)
    assert past is not None
    held = [(t.experiment, t.index, t.since, t.until) for t in past.tenures if t.experiment == "wehe"]
    assert held == [("wehe", 5, date(2026, 1, 1), date(2026, 11, 1)), ("wehe", 6, date(2026, 11, 1), None)]


# M01


@pytest.mark.parametrize("committed", [True, False])
def test_the_file_of_an_embargo_does_not_vanish(repository: Repository, committed: bool) -> None:
    (repository.root / EMBARGO).unlink()
    if committed:
        repository.commit()
    assert repository.codes() == ["M01"]
    assert repository.problems()[0].startswith(f"{EMBARGO}:1:1: M01")


def test_lifting_an_embargo_keeps_its_file(plain: Repository) -> None:
    edit(plain.root, EMBARGO, "state: active", "state: lifted")
    plain.commit()
    assert plain.problems() == []


# Without full history


def partial(source: Repository, into: Path) -> Path:
    source.git("config", "uploadpack.allowFilter", "true")
    command = ["git", "clone", "-q", "--filter=blob:none", source.top.as_uri(), str(into)]
    subprocess.run(command, check=True, capture_output=True)
    return into


def tarball(source: Repository, into: Path) -> Path:
    into.mkdir()
    archive = subprocess.run(["git", "-C", str(source.top), "archive", "HEAD"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(into)], input=archive, check=True)
    return into


def unborn(source: Repository, into: Path) -> Path:
    tarball(source, into)
    subprocess.run(["git", "init", "-q", str(into)], check=True)
    return into


def elsewhere(source: Repository, into: Path) -> Path:
    """A tarball that somebody unpacked inside a repository of something else."""
    subprocess.run(["git", "init", "-q", str(into)], check=True)
    (into / "README").write_text("something else\n")
    Repository(into, into).commit()
    return tarball(source, into / "unpacked")


def corrupt(source: Repository, into: Path) -> Path:
    subprocess.run(["git", "clone", "-q", source.top.as_uri(), str(into)], check=True, capture_output=True)
    for pack in (into / ".git/objects").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            pack.write_bytes(b"rubbish")
    return into


def gappy(source: Repository, into: Path) -> Path:
    """A repository that lost a folder of an older commit."""
    shutil.copytree(source.top, into, symlinks=True)
    tree = source.git("rev-parse", "HEAD~1:config/sites")
    (into / ".git/objects" / tree[:2] / tree[2:].strip()).unlink()
    return into


@pytest.mark.parametrize(
    ("copy", "why"),
    [
        (shallow, "this is a shallow clone"),
        (partial, "this is a partial clone"),
        (tarball, "this is no git repository"),
        (unborn, "the repository has no commit that can be read"),
        (elsewhere, "config/ is not committed"),
        (corrupt, "the repository has no commit that can be read"),
        (gappy, "git failed: "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_without_history_one_notice_names_the_rules_and_nothing_else_changes(
    plain: Repository, tmp_path: Path, copy: Callable[[Repository, Path], Path], why: str
) -> None:
    state(plain, "active", "retired")
    path = plain.root / SITE
    path.write_text(path.read_text() + "allow:\n  - {rule: S14, reason: the building burned down}\n")
    plain.commit()
    root = copy(plain, tmp_path / "copy")
    loaded = loading.load(root, today=TODAY, use_cache=False)
    assert loaded.problems == (), "a silence of a rule that was not checked is not called unused"
    (note,) = loaded.notes
    assert note.line().startswith(f"config:1:1: note: G01 history.missing: not checked: no history ({why}")
    assert all(f"{code} " in note.message for code in GIT_RULES)
