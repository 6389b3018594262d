"""The part of the bad answers that all providers share, in front of a real API server; `test_client` has the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcilers.providers.kubernetes.provider import Kubernetes
from tests.conformance import faults
from tests.faultproxy import FaultProxy
from tests.kubernetes import proxied

# They take turns with one lock.
pytestmark = pytest.mark.xdist_group("kubernetes-faults")


@pytest.fixture(scope="module")
def kubeconfig_of_proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxied") / "kubeconfig"


@pytest.fixture(scope="module")
def proxy(kubeconfig: Path, kubeconfig_of_proxy: Path) -> Iterator[FaultProxy]:
    with proxied.in_front(kubeconfig, kubeconfig_of_proxy) as made:
        yield made


@pytest.fixture
def provider(proxy: FaultProxy, kubeconfig_of_proxy: Path) -> Iterator[Kubernetes]:
    yield from faults.behind(proxy, Kubernetes("faults/kubernetes", kubeconfig_of_proxy, limits=faults.QUICK))


class TestFaults(faults.Faults):
    """The shared part."""
