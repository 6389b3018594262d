"""What the tests of this folder share: the command, and packages that are the real ones of the archive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.images import build, packages
from services.local.progress import Silent

MLAB = Path(sys.executable).with_name("mlab")


def images(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`mlab images …` to its end."""
    command = [str(MLAB), "images", *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, check=False)


def document(*words: str, **variables: str) -> dict[str, Any]:
    """What it says as JSON."""
    done = images(*words, "--json", **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Boot media as the command leaves them."""
    out = tmp_path_factory.mktemp("media")
    document("build", "boot-media", "--out", str(out))
    return out / "boot-media"


@pytest.fixture(scope="session")
def small_packages() -> dict[str, Path]:
    """The files of the packages of the container images, by name."""
    resolved = packages.resolve(build.TARGETS["oci"].wanted, Silent())
    return dict(packages.fetch(resolved, Silent()))
