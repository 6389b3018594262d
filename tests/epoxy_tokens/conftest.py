"""One control plane for this folder, the one that the tests of Kubernetes use, and the two programs' accounts in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.epoxy_tokens import lab
from tests.kubernetes import cluster


@pytest.fixture(scope="session")
def cell(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[lab.Lab]:
    base = tmp_path_factory.getbasetemp()
    common = base if worker_id == "master" else base.parent
    with (
        cluster.shared(common / "kubernetes", f"{worker_id}-tokens") as kubeconfig,
        lab.prepared(kubeconfig, tmp_path_factory.mktemp("tokens")) as made,
    ):
        yield made
