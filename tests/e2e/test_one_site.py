"""Runs the walk-through of `docs/one-site.md`, command by command, as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.e2e.checkout import Checkout, repository

SOURCE = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("e2e-light")


def test_the_walk_through_holds(tmp_path: Path) -> None:
    for part in ("config", "jsonnet"):
        shutil.copytree(SOURCE / part, tmp_path / "fleet" / part)
    repository(tmp_path / "fleet")
    checkout = Checkout(tmp_path / "fleet", tmp_path / "state")
    assert checkout.mlab("up", "--light", "--env", "sandbox").status == 0
    try:
        first = checkout.mlab("apply", "--env", "sandbox", "--target", "epoxy", "--target", "buckets", "--yes")
        assert first.status == 0, first.out + first.err
        ran = walk(checkout, (SOURCE / "docs" / "one-site.md").read_text())
        assert ran == 15
    finally:
        assert checkout.mlab("down").status == 0


def walk(checkout: Checkout, text: str) -> int:
    """Follow the page; the number of `mlab` commands whose exit status was as written."""
    ran = 0
    for before, language, block in re.findall(r"(.*?)```(yaml|console)\n(.*?)```", text, re.S):
        if language == "yaml":
            path = checkout.root / re.findall(r"`(config/\S+\.yaml)`", before)[-1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block)
            continue
        for line, status in re.findall(r"^\$ (.*)\n(?:\(exit (\d+)\)\n)?", block, re.M):
            words = shlex.split(line)
            if words[0] == "git":
                checkout.commit(" ".join(words[2:]))
            elif words[0] == "edit":
                path = checkout.root / words[1]
                assert words[2] in path.read_text(), line
                path.write_text(path.read_text().replace(words[2], words[3], 1))
            else:
                done = checkout.mlab(*words[1:])
                assert done.status == int(status), f"{line}: {done.status}: {done.out}{done.err}"
                ran += 1
    return ran
