"""The shared suite against a real API server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core.model import Id, Resource, Span
from reconcilers.providers.kubernetes import marks as kubernetes_marks
from reconcilers.providers.kubernetes import provider as kubernetes
from reconcilers.providers.kubernetes.client import Client
from tests.conformance import suite

MERGE = "application/merge-patch+json"


def resource(manifest: Mapping[str, Any], *deps: Id) -> Resource:
    """A manifest as a resource."""
    return Resource(kubernetes_marks.identity(manifest), manifest, Span("config/test.yaml", 3), frozenset(deps))


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap in `default`."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def daemon_set(name: str, config: str, version: str) -> dict[str, Any]:
    """A DaemonSet whose written quantity the server spells otherwise, and whose lists have defaulted keys."""
    container = {
        "name": "main",
        "image": f"example/{name}:{version}",
        "args": ["-a", "-b"],
        "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"name": "http", "containerPort": 53}],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {"requests": {"cpu": "1000m"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "default", "labels": {"workload": name}},
        "spec": {
            "selector": {"matchLabels": {"workload": name}},
            "template": {
                "metadata": {"labels": {"workload": name}},
                "spec": {
                    "nodeSelector": {"mlab/type": "physical"},
                    "containers": [container],
                    "volumes": [{"name": "config", "configMap": {"name": config}}, {"name": "run", "emptyDir": {}}],
                },
            },
        },
    }


class Harness:
    """Resources with names of this test only, in a scope of its own."""

    lock_ttl_s = 1.0

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.tag = f"t{uuid.uuid4().hex[:10]}"
        self.scope = f"{self.tag}/kubernetes"
        self.client = Client(kubeconfig)
        one, two, extra = (f"{self.tag}-{word}" for word in ("one", "two", "extra"))
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": one, "namespace": "default"}}
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": one},
            "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
        }
        first_map, second_map = resource(config_map(one, a="1", b="2")), resource(config_map(one, a="1", c="3"))
        self.first: Sequence[Resource] = [
            first_map,
            resource(account),
            resource(role),
            resource(daemon_set(one, one, "v1"), first_map.id),
        ]
        new_map = resource(config_map(two, x="y"))
        self.second: Sequence[Resource] = [second_map, new_map, resource(daemon_set(one, two, "v2"), new_map.id)]
        self._foreign = config_map(extra, theirs="1")

    def provider(self) -> kubernetes.Kubernetes:
        return kubernetes.Kubernetes(self.scope, self.kubeconfig)

    def unreachable(self) -> kubernetes.Kubernetes:
        text = self.kubeconfig.read_text()
        server = next(line for line in text.splitlines() if "server:" in line)
        closed = self.kubeconfig.with_name(f"{self.tag}.kubeconfig")
        closed.write_text(text.replace(server, server.rpartition(":")[0] + ":1"))
        return kubernetes.Kubernetes(self.scope, closed)

    def reset(self) -> None:
        for item in [*self._all(), self._get(self._foreign)]:
            if item is not None:
                self.request("DELETE", item)
        for kind in ("ConfigMap", "Lease.coordination.k8s.io"):
            name = f"{kubernetes_marks.HOME}/{kubernetes_marks.parent_name(self.scope)}"
            self.client.request("DELETE", self.path(Id(kind, name)))

    def state(self) -> Any:
        found = {}
        for item in self._all():
            notes = dict(kubernetes_marks.notes_of(item))
            notes.pop(kubernetes_marks.COMMIT, None)
            meta = {key: item["metadata"].get(key) for key in ("name", "namespace", "labels")} | {"annotations": notes}
            rest = {key: value for key, value in item.items() if key not in ("metadata", "status")}
            notes.pop("deprecated.daemonset.template.generation", None)
            found[str(kubernetes_marks.identity(item))] = {**rest, "metadata": meta}
        return found

    def put_unmarked(self, resource: Resource) -> None:
        self.request("POST", resource.spec, body=resource.spec)

    def put_foreign(self) -> Id:
        self.request("POST", self._foreign, body=self._foreign)
        return kubernetes_marks.identity(self._foreign)

    def foreign_state(self) -> Any:
        return self._get(self._foreign)

    def drift(self) -> Id:
        target = self.first[0]
        self.request("PATCH", target.spec, body={"data": {"a": "by hand"}}, content_type=MERGE)
        return target.id

    def path(self, identity: Id) -> str:
        kind, group, namespace, name = kubernetes_marks.split(identity)
        api = self.client.find(kind, group)
        assert api is not None
        return api.path(namespace, name)

    def request(self, method: str, item: Mapping[str, Any], **more: Any) -> Mapping[str, Any]:
        identity = kubernetes_marks.identity(item)
        path = self.path(identity)
        answer = self.client.request(method, path.rpartition("/")[0] if method == "POST" else path, **more)
        assert answer.ok, answer.body
        return answer.body

    def _get(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        answer = self.client.request("GET", self.path(kubernetes_marks.identity(item)))
        return dict(answer.body) if answer.ok else None

    def _all(self) -> list[dict[str, Any]]:
        label = f"{kubernetes_marks.PART_OF}={kubernetes_marks.set_id(self.scope)}"
        kinds = ("ConfigMap", "ServiceAccount", "ClusterRole.rbac.authorization.k8s.io", "DaemonSet.apps")
        found = []
        for kind in kinds:
            name, _, group = kind.partition(".")
            api = self.client.find(name, group)
            assert api is not None
            found += self.client.list_all(api, label=label)
        return found


@pytest.fixture
def harness(kubeconfig: Path) -> Iterator[Harness]:
    """A fresh scope, removed afterwards."""
    made = Harness(kubeconfig)
    yield made
    made.reset()
    made.client.close()


class TestKubernetes(suite.Conformance):
    """Every provider's suite."""
