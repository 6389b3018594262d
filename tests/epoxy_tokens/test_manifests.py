"""What a cluster gets from git for the two programs: taken by the API server as it stands, and run as it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.render import kubernetes as rendering
from services.epoxy.tokens import __main__ as program
from services.epoxy.tokens import bootstrap
from tests import fleets
from tests.epoxy_tokens.lab import Lab

pytestmark = pytest.mark.xdist_group("epoxy-tokens")
PINNED = "images:\n  epoxy-tokens: {name: mlab/epoxy-tokens, version: v2}\n"
COLLECTIONS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fleets.write_fleet(tmp_path_factory.mktemp("manifests") / "fleet")


def rendered(root: Path) -> list[dict[str, Any]]:
    fleet = loading.load(root).require()
    engine = Engine(fleets.CHECKOUT / "jsonnet", None)
    found = rendering.resources(fleet, fleet.environments["sandbox"], engine)
    return [dict(resource.spec) for resource in found if "epoxy" in resource.id.name]


def test_they_are_rendered_once_an_image_is_pinned_and_the_server_takes_each(cell: Lab, root: Path) -> None:
    assert rendered(root) == []
    fleets.edit(root, "config/images/system.yaml", "images:\n", PINNED)
    manifests = rendered(root)
    assert {manifest["kind"] for manifest in manifests} == COLLECTIONS.keys()
    for manifest in manifests:
        path = COLLECTIONS[manifest["kind"]].format(bootstrap.NAMESPACE)
        answer = cell.admin.call("POST", f"{path}?dryRun=All&fieldValidation=Strict", manifest)
        assert answer.status_code == 201, answer.text
    commands = {
        container["name"]: container["args"]
        for manifest in manifests
        if manifest["kind"] == "Deployment"
        for container in manifest["spec"]["template"]["spec"]["containers"]
    }
    options = {name: program.parser().parse_args(words) for name, words in commands.items()}
    assert options["epoxy-approver"].program == "approve" and options["epoxy-tokens"].program == "serve"
    assert options["epoxy-tokens"].caller_token_file is not None
    assert options["epoxy-tokens"].api_address == "api-platform-cluster.mlab-sandbox.measurement-lab.test:6443"
