"""A small configuration in a git repository of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconcilers.load import format as formatting
from tests import fleets
from tests.e2e.checkout import Checkout, repository


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Three sites, in the form and committed; no hook yet. Git reads no settings of the machine."""
    root = fleets.write_fleet(tmp_path / "fleet")
    formatting.format_tree(root, write=True)
    repository(root)
    nobody = tmp_path / "gitconfig"
    nobody.write_text("[user]\n\tname = test\n\temail = test@measurement-lab.test\n")
    return Checkout(root, tmp_path / "state", {"GIT_CONFIG_GLOBAL": str(nobody), "GIT_CONFIG_NOSYSTEM": "1"})
