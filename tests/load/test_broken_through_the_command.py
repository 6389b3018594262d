"""Of each kind of broken configuration one, through the real `mlab`: exit 5, its lines on stdout, no traceback."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fleets
from tests.load.breaking import Case
from tests.load.test_broken_configurations import CASES

MLAB = Path(sys.executable).with_name("mlab")
NO_HISTORY = "config:1:1: note: G01 history.missing: "
BY_NAME = {broken.name: broken for broken in CASES}
CHOSEN = (
    "no sites",
    "links in a ring",
    "5 MB",
    "latin 1",
    "open brace",
    "duplicate key",
    "laughs",
    "python tag",
    "scalar 0o10",
    "unknown kind",
    "overlap",
    "embargo of no datatype",
)
TEMPLATE = "jsonnet/kubernetes/platform.jsonnet"


def mlab(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(MLAB), *words, "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert "internal error" not in done.stdout + done.stderr, done.stderr
    return done


def problems(lines: str) -> list[str]:
    return [line for line in lines.splitlines() if not line.startswith(NO_HISTORY)]


def is_told(broken: Case, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 5, done.stderr
    lines = problems(done.stdout)
    assert [line.split(" ")[0:2] for line in lines] == [[f"{where}:", code] for where, code, _ in broken.problems]
    assert all(words in line for line, (_, _, words) in zip(lines, broken.problems, strict=True)), lines
    count = len(lines)
    (told,) = problems(done.stderr)
    assert f"{count} problem{'s' if count > 1 else ''}; " in told


@pytest.mark.parametrize("name", CHOSEN)
def test_a_broken_configuration_ends_validate_with_its_lines_and_exit_5(name: str, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    BY_NAME[name].breaks(root)
    is_told(BY_NAME[name], mlab(root, "validate"))


@pytest.mark.parametrize("verb", ["render", "plan", "apply", "drift"])
def test_no_verb_goes_on_with_a_broken_configuration(verb: str, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    BY_NAME["overlap"].breaks(root)
    is_told(BY_NAME["overlap"], mlab(root, verb, "--env", "sandbox"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("function(", "funtion(", "syntax error"),
        ("import 'networks", "import 'nowhere", "nowhere.libsonnet"),
    ],
    ids=["syntax", "import"],
)
def test_broken_jsonnet_is_one_line_with_its_place(old: str, new: str, words: str, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    shutil.copytree(fleets.CHECKOUT / "jsonnet", root / "jsonnet")
    text = (root / TEMPLATE).read_text()
    assert old in text
    (root / TEMPLATE).write_text(text.replace(old, new, 1))
    done = mlab(root, "render", "--env", "sandbox", "--no-cache")
    assert done.returncode == 5, done.stderr
    (line,) = problems(done.stdout)
    assert line.startswith(f"{TEMPLATE}:") and "J01 jsonnet.evaluate" in line and words in line, line
    assert len(problems(done.stderr)) == 1
