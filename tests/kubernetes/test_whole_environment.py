"""The committed configuration against a real API server: all is accepted, and the second plan is empty and quick."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcilers.core.model import Resource
from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.providers.kubernetes import provider as kubernetes
from reconcilers.render import kubernetes as rendering
from tests.conformance import suite

CHECKOUT = Path(__file__).resolve().parents[2]
SCOPE = "sandbox/kubernetes"


@pytest.fixture
def wanted(kubeconfig: Path) -> Iterator[tuple[Resource, ...]]:
    fleet = loading.load(CHECKOUT).require()
    yield rendering.resources(fleet, fleet.environments["sandbox"], Engine(CHECKOUT / "jsonnet", None))


def test_all_of_sandbox_is_applied_and_planned_again_without_a_change(
    kubeconfig: Path, wanted: tuple[Resource, ...]
) -> None:
    provider = kubernetes.Kubernetes(SCOPE, kubeconfig)
    result = suite.apply(provider, wanted, chosen=suite.options(health_timeout_s=120))
    provider.close()
    assert not result.failed and not result.refused, (result.error, result.not_converged, result.outcomes[:3])
    again = kubernetes.Kubernetes(SCOPE, kubeconfig)
    made = suite.plan(again, wanted)
    again.close()
    assert suite.summary(made) == [] and made.unchanged == len(wanted)
