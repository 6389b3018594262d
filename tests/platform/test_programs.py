"""Building the Go programs: once for all who want them, and with an error that says what to look at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.local import programs
from services.local.errors import PlatformError
from tests.platform import sourcetree

pytestmark = pytest.mark.xdist_group("platform-building")
# The compiler's own cache stays the user's: what is built here is little, and the library below it is there already.
COMPILED = os.environ.get("GOCACHE") or str(
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "go-build"
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sourcetree.with_own_module(sourcetree.make(tmp_path_factory.mktemp("programs") / "tree"), sourcetree.SHORT)


def begin(tree: Path, cache: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "GOCACHE": COMPILED, **variables}
    return subprocess.Popen(
        [sys.executable, "-m", "services.local.programs", "etcd"],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_who_want_a_program_build_it_once(tree: Path, tmp_path: Path) -> None:
    both = [begin(tree, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=250) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    (first,) = {out for out, _ in said}
    program = Path(first.split("\t")[1].strip())
    assert first.startswith("etcd\t") and os.access(program, os.X_OK) and program.is_relative_to(tmp_path)
    assert sorted(" built in " in err for _, err in said) == [False, True]
    assert [path.name for path in program.parent.iterdir()] == ["etcd"]
    assert not (tmp_path / "mlab" / "scratch").exists()
    third = begin(tree, tmp_path)
    assert third.communicate(timeout=60) == (first, "")


def test_a_build_that_fails_says_why_in_one_line_and_leaves_no_program(tree: Path, tmp_path: Path) -> None:
    program = "package main\n\nfunc main() { undefined() }\n"
    broken = sourcetree.with_own_module(sourcetree.make(tmp_path / "tree"), program)
    process = begin(broken, tmp_path / "cache")
    _, said = process.communicate(timeout=250)
    last = said.splitlines()[-1]
    assert process.returncode == 4 and "undefined: undefined" in last and "build-etcd.log" in last
    assert not [path for path in (tmp_path / "cache" / "mlab" / "bin").rglob("*") if path.is_file()]


def test_a_compiler_that_is_too_old_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "OLDEST_GO", (99, 0))
    with pytest.raises(PlatformError, match=r"no Go toolchain of 99\.0 or later \(.* is go1\..*\): run `make setup`"):
        programs.toolchain()


def test_a_program_of_the_same_minor_version_is_taken_from_the_path(tree: Path, tmp_path: Path) -> None:
    found = tmp_path / "bin" / "etcd"
    found.parent.mkdir()
    for version, taken in (("3.6.9", False), ("3.7.0", True)):
        found.write_text(f"#!/bin/sh\necho 'etcd Version: {version}'\n")
        found.chmod(0o755)
        process = begin(tree, tmp_path / "cache", PATH=f"{found.parent}:{os.environ['PATH']}")
        out, said = process.communicate(timeout=250)
        assert process.returncode == 0, said
        assert (out.split("\t")[1].strip() == str(found)) is taken
        if not taken:
            Path(out.split("\t")[1].strip()).unlink()
