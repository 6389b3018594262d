"""The loop in its cluster: its manifests are accepted, and what they permit is enough to reconcile the cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.providers.kubernetes import provider as kubernetes
from reconcilers.providers.kubernetes.client import Client
from reconcilers.render import kubernetes as rendering
from tests import fleets, objectstore_process
from tests.conformance import suite
from tests.e2e.checkout import Checkout, repository
from tests.kubernetes import cluster
from tests.loop.process import Running

ACCOUNT = "/api/v1/namespaces/kube-system/serviceaccounts/mlab-reconciler/token"
TOKEN_S = 3600
LOOP = "loop: {repository: 'https://git.measurement-lab.test/fleet.git', targets: [kubernetes]}\nmodes:"


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Path]:
    """A cluster of its own: a loop takes its scope as a whole, which the other tests' cluster could not bear."""
    with cluster.shared(tmp_path_factory.mktemp("loop") / "kubernetes", worker_id) as config:
        yield config


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The small fleet with a loop, its image, and what the cluster's networks do not need kubelets for."""
    root = fleets.write_fleet(tmp_path / "fleet")
    fleets.edit(root, "config/environments/sandbox.yaml", "modes:", LOOP)
    system = root / "config" / "images" / "system.yaml"
    fleets.edit(
        root, "config/images/system.yaml", "images:\n", "images:\n  reconciler: {name: mlab/reconciler, version: v2}\n"
    )
    assert "reconciler" in system.read_text()
    return root


@pytest.fixture
def account(kubeconfig: Path, root: Path, tmp_path: Path) -> Path:
    """The manifests applied, and a kubeconfig that holds a token of the loop's account and nothing else."""
    fleet = loading.load(root).require()
    resources = rendering.resources(fleet, fleet.environments["sandbox"], Engine(fleets.CHECKOUT / "jsonnet", None))
    mine = [r for r in resources if "mlab-reconciler" in r.id.name or r.id.name == "mlab-system"]
    assert {r.id.kind.partition(".")[0] for r in mine} == {
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment", "PriorityClass")
    }
    provider = kubernetes.Kubernetes("bootstrap/kubernetes", kubeconfig)
    # Nobody runs pods here: that the server takes the Deployment is what is asked.
    result = suite.apply(provider, tuple(mine), chosen=suite.options(health_timeout_s=0.1))
    provider.close()
    assert not result.error and not result.refused, result
    assert all("not healthy" in o.error for o in result.outcomes if o.error), result.outcomes
    client = Client(kubeconfig)
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": TOKEN_S}}
    answer = client.request("POST", ACCOUNT, body=body)
    client.close()
    assert answer.ok, answer.body
    document: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
    document["users"] = [
        {"name": user["name"], "user": {"token": answer.body["status"]["token"]}} for user in document["users"]
    ]
    path = tmp_path / "account.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    """Where the records go."""
    with objectstore_process.running(tmp_path) as url:
        yield url


def test_a_loop_with_the_token_of_its_account_reconciles_the_cluster(
    kubeconfig: Path, account: Path, root: Path, store: str, tmp_path: Path
) -> None:
    fleets.edit(root, "config/environments/sandbox.yaml", "health_timeout_s: 120", "health_timeout_s: 5")
    repository(root)
    state = tmp_path / "state"
    (state / "platform").mkdir(parents=True)
    targets = {
        "kubernetes": {"kubeconfig": {"secretRef": f"file:{account}"}},
        "buckets": {"endpoint": store, "anonymous": True},
    }
    overlay = {"environments": {"sandbox": {"targets": targets}}}
    (state / "platform" / "platform.json").write_text(json.dumps(overlay))
    running = Running(Checkout(root, state), state, ("--target", "kubernetes")).start()
    try:
        running.until(lambda: running.metric("mlab_reconcile_runs_total", scope="kubernetes", phase="apply") >= 1)
        running.until(
            lambda: running.metric("mlab_reconcile_changes_total", scope="kubernetes", outcome="applied") > 20
        )
        forbidden = running.metric("mlab_reconcile_api_requests_total", provider="kubernetes", code="403")
        assert forbidden == 0, running.log.read_text()
        assert "forbidden" not in running.log.read_text()
    finally:
        running.stop()
    client = Client(kubeconfig)
    found = client.request("GET", "/apis/apps/v1/namespaces/default/daemonsets/ndt")
    client.close()
    assert found.ok
    managers = {entry["manager"] for entry in found.body["metadata"]["managedFields"]}
    assert "mlab-reconciler" in managers
