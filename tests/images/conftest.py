"""What the tests of this folder share: the command, the archive's real packages, and images in a runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.images import build, packages
from services.local import namespace
from services.local.progress import Silent
from tests.boot import server
from tests.node_together import runtime
from tests.node_together.runtime import Container, Runtime

NOBODY = 65534
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


@contextmanager
def running(folder: Path, file: str) -> Iterator[Runtime]:
    """A runtime that has one of our images; this thread is in the network of its containers meanwhile."""
    archive = folder / file
    archive.write_bytes(server.built("oci")[file])
    runtime.programs(folder / "runtime")
    name = f"mlab-image-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        with namespace.entered(name), runtime.running(folder / "runtime", name) as made:
            made.load(archive)
            yield made
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def container(image: str, *command: str, mounts: Mapping[str, tuple[Path, bool]] | None = None) -> Container:
    """As a cluster would run it: nobody, with no rights, on a root that it cannot write to."""
    return Container(
        name=f"{command[0].rpartition('/')[2]}-{uuid.uuid4().hex[:8]}",
        image=image,
        command=command,
        environment={},
        user=(NOBODY, NOBODY),
        groups=(),
        capabilities=(),
        read_only=True,
        escalates=False,
        memory_bytes=512 << 20,
        mounts=mounts or {},
    )
