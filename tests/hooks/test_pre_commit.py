"""The same checks under pre-commit, whose files are committed: no download, the same refusals."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reconcilers.cli import checks
from tests import fleets
from tests.e2e.checkout import Checkout

PRE_COMMIT = Path(sys.executable).with_name("pre-commit")
CONFIG, MANIFEST = ".pre-commit-config.yaml", ".pre-commit-hooks.yaml"


def pre_commit(checkout: Checkout, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [PRE_COMMIT, *words],
        cwd=checkout.root,
        capture_output=True,
        text=True,
        env={**os.environ, **checkout.environment, "PRE_COMMIT_HOME": str(checkout.state / "pre-commit")},
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def configured(checkout: Checkout) -> Checkout:
    """The small fleet with the project's own pre-commit configuration and its environment."""
    shutil.copyfile(fleets.CHECKOUT / CONFIG, checkout.root / CONFIG)
    (checkout.root / ".venv").symlink_to(Path(sys.executable).parents[1])
    (checkout.root / ".gitignore").write_text(".venv\n")
    checkout.commit("Use pre-commit")
    return checkout


def test_both_files_name_every_check_and_download_nothing() -> None:
    config = yaml.safe_load((fleets.CHECKOUT / CONFIG).read_text())
    manifest = yaml.safe_load((fleets.CHECKOUT / MANIFEST).read_text())
    (local,) = config["repos"]
    assert local["repo"] == "local"
    for hooks in (local["hooks"], manifest):
        assert [hook["id"].removeprefix("mlab-") for hook in hooks] == list(checks.NAMES)
        assert {hook["language"] for hook in hooks} == {"system"}
    ours = [{**hook, "entry": hook["entry"].removeprefix(".venv/bin/")} for hook in local["hooks"]]
    assert ours == manifest


def test_pre_commit_accepts_both_files(checkout: Checkout) -> None:
    for verb, file in (("validate-config", CONFIG), ("validate-manifest", MANIFEST)):
        status, said = pre_commit(checkout, verb, str(fleets.CHECKOUT / file))
        assert status == 0, said


def test_a_valid_configuration_passes_and_a_broken_one_is_refused_with_its_line(configured: Checkout) -> None:
    status, said = pre_commit(configured, "run", "--all-files")
    assert status == 0, said
    fleets.edit(configured.root, "config/sites/lga05.yaml", "type: physical", "type: phisical")
    configured.git("add", "-A")
    status, said = pre_commit(configured, "run")
    assert status == 1 and re.search(r"^config/sites/lga05.yaml:4:7: C04 ", said, re.M), said


def test_a_removal_is_checked_too(configured: Checkout) -> None:
    configured.git("rm", "-q", "-r", "config/sites")
    status, said = pre_commit(configured, "run")
    assert status == 1 and re.search(r"^config/sites:1:1: F01 ", said, re.M), said
