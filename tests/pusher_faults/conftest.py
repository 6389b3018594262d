"""One store for all tests of a worker; a bucket and a spool for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import objectstore_process
from tests.pusher_faults.rig import Rig, running


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with objectstore_process.running(tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture
def rig(store: str, tmp_path: Path) -> Iterator[Rig]:
    with running(Rig(tmp_path, store)) as made:
        yield made
