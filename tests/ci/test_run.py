"""The run of all tests: what fails in it is asked once more, alone; what nothing explains is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = f"""\
[tool.pytest.ini_options]
testpaths = ["cases"]
addopts = "-q --import-mode=importlib"
pythonpath = [{str(ROOT)!r}]
timeout = 60
"""
STEADY = "def test_steady(): pass\n"
# Passes from its second try on; in a group, whose name pytest-xdist appends to the test's own.
UNSTEADY = """\
import pathlib, pytest
@pytest.mark.xdist_group("some")
@pytest.mark.parametrize("who", ["a@b", "c"])
def test_unsteady(who):
    seen = pathlib.Path(f"seen-{who}")
    if not seen.exists():
        seen.touch()
        assert who == "c"
"""
BROKEN = "def test_broken(): assert 1 == 2\n"

Run = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A checkout that has these tests alone, and how its run ended."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/test").symlink_to(ROOT / ".ci/test")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases/conftest.py").write_text('pytest_plugins = ["tests.crowd"]\n')
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    def all_of(cases: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "cases/test_cases.py").write_text(cases)
        command = [".ci/test", "2"]
        return subprocess.run(
            command, cwd=tmp_path, env=inherited, capture_output=True, text=True, timeout=120, check=False
        )

    return all_of


def counts(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The closing line of each round, without its time."""
    return re.findall(r"^(.*(?:passed|failed).*) in [0-9.]+s", done.stdout, re.MULTILINE)


def test_what_passes_alone_is_named_last(run: Run) -> None:
    done = run(STEADY + UNSTEADY)
    assert counts(done) == ["1 failed, 2 passed", "1 passed"]
    assert done.stdout.splitlines()[-1] == "unsteady, passed alone only: cases/test_cases.py::test_unsteady[a@b]"
    assert done.returncode == 0


def test_what_fails_alone_too_fails_the_run(run: Run) -> None:
    done = run(UNSTEADY + BROKEN)
    assert counts(done) == ["2 failed, 1 passed", "1 failed, 1 passed"]
    assert "unsteady, passed" not in done.stdout
    assert done.returncode == 1


def test_more_than_fifty_are_not_asked_again(run: Run) -> None:
    many = UNSTEADY.replace('["a@b", "c"]', "range(51)")
    done = run(STEADY + many)
    assert counts(done) == ["51 failed, 1 passed"]
    assert done.returncode == 1


def test_a_run_that_all_pass_is_one_round(run: Run) -> None:
    done = run(STEADY)
    assert counts(done) == ["1 passed"]
    assert done.returncode == 0


def test_tests_that_cannot_be_read_are_not_asked_again(run: Run) -> None:
    done = run("import there_is_none\n")
    assert "there_is_none" in done.stdout
    assert "once more" not in done.stdout
    assert done.returncode == 1


def test_a_worker_that_dies_ends_the_run_and_is_no_failure_to_ask_again(run: Run) -> None:
    done = run(STEADY + "import os\ndef test_dies(): os._exit(1)\n")
    assert "a worker died while it ran cases/test_cases.py::test_dies" in done.stdout + done.stderr
    assert "once more" not in done.stdout
    assert done.returncode == 3
