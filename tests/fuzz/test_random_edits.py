"""However a valid configuration is edited, `mlab validate` ends in exit 0 or 5, with one line for each problem."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconcilers.cli import main
from reconcilers.core.errors import MlabError
from reconcilers.fleet import derive, published
from reconcilers.load import fleet as loading
from tests.fuzz import edits

EXAMPLES = 10_000 if os.environ.get("MLAB_NIGHTLY") else 500
MLAB = Path(sys.executable).with_name("mlab")
LINE = re.compile(r"config[^\n]*?:\d+:\d+: (?:(?:warning|note): )?[A-Z]\d\d [a-z]+\.[a-z0-9-]+: \S")
ANNOTATION = re.compile(r"::(?:error|warning|notice) file=config[^\n]*,line=\d+,col=\d+,title=[^:]*::\S")
FORMS = (("text",), ("json",), ("github",), ("text", "-v"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def command(root: Path, form: tuple[str, ...]) -> list[str]:
    return ["validate", "--root", str(root), "--format", *form]


def test_the_configuration_is_valid_before_it_is_edited(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edits.write(root)
    assert main.main(command(root, ("text",))) == 0, capsys.readouterr().out


@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(edits.edits, st.sampled_from(FORMS))
def test_edits_end_in_a_verdict_and_never_in_a_traceback(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    drawn: list[edits.Edit],
    form: tuple[str, ...],
) -> None:
    edits.write(root)
    for edit in drawn:
        edit(root)
    status = main.main(command(root, form))
    out, err = capsys.readouterr()
    assert status in (0, 5), err
    assert "internal error" not in err and "Traceback" not in err
    if form == ("json",):
        check_json(out, invalid=status == 5)
    elif form == ("github",):
        assert all(ANNOTATION.match(line) for line in out.splitlines())
    elif form == ("text",):
        lines = out.splitlines()
        assert all(LINE.match(line) for line in (lines if status else lines[:-1])), out
    if status == 0:
        derives(root)


def check_json(out: str, *, invalid: bool) -> None:
    found = json.loads(out)
    assert any(problem["severity"] == "error" for problem in found) == invalid
    for problem in found:
        start, end = problem["range"]["start"], problem["range"]["end"]
        assert (end["line"], end["column"]) >= (start["line"], start["column"]) >= (1, 1), problem
        assert problem["message"] and "\n" not in problem["message"] and problem["file"].startswith("config")


def derives(root: Path) -> None:
    """What is called valid can be derived and published; a refusal says why."""
    fleet = loading.load(root).require()
    for environment in fleet.environments.values():
        try:
            derive.under(fleet, environment.domain)
            published.sets(fleet, environment)
        except MlabError as error:
            assert str(error)


@pytest.mark.parametrize("seed", range(8))
def test_the_real_command_ends_as_the_function_does(seed: int, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = _examples()[seed]
    edits.write(root)
    for edit in example:
        edit(root)
    words = command(root, ("json",))
    status = main.main(words)
    out, _ = capsys.readouterr()
    done = subprocess.run([str(MLAB), *words], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (status, out)
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr


def _examples() -> list[list[edits.Edit]]:
    """A handful of draws, the same in every run."""
    found: list[list[edits.Edit]] = []

    @settings(max_examples=8, database=None, derandomize=True)
    @given(edits.edits)
    def collect(drawn: list[edits.Edit]) -> None:
        found.append(drawn)

    collect()
    return found
