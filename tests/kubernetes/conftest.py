"""The cluster that all tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes import cluster


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Path]:
    """The administrator's kubeconfig of a real control plane."""
    base = tmp_path_factory.getbasetemp()
    common = base if worker_id == "master" else base.parent
    with cluster.shared(common / "kubernetes", worker_id) as config:
        yield config
