"""The platform on this machine as the control plane that booting machines join, started by `mlab up`.

It is started inside the boot tests' network, with its API server where machines reach it. Its store of host records is
the boot server's, too, so that what `mlab apply` writes is what machines boot by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from kubernetes import client, config

from tests import fleets
from tests.e2e.checkout import Checkout, repository

ENV = "sandbox"
CANARY = """\
# yaml-language-server: $schema=../../schemas/experiment.schema.json
kind: Experiment
name: canary
description: Shows that a node runs pods; the node carries its image itself.
position: 16
index: null
cloud: false
projects: [mlab-sandbox]
placements:
  - {name: canary, type: physical, hostNetwork: true}
container:
  image: {name: measurementlab/canary, version: v1}
  metricsPort: null
anonymize: none
datatypes: {archived: [], autoloaded: []}
firewall: null
sidecars: {measurement: false, heartbeat: false, revtr: false, access: false}
rollout: {maxUnavailable: "2%", graceSeconds: 30}
"""
WORKLOAD = "canary"
BUCKET = "epoxy-mlab-sandbox"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running platform: `checkout` is the configuration that it serves, `ports` are those of its programs."""

    checkout: Checkout
    ports: dict[str, int]

    @property
    def folder(self) -> Path:
        return self.checkout.state / "platform" / ENV

    @property
    def authority(self) -> bytes:
        """What machines trust the API server by."""
        return (self.folder / "pki" / "ca.crt").read_bytes()

    @property
    def store_url(self) -> str:
        """The host records that `mlab apply` writes."""
        return f"sqlite://{self.folder / 'epoxy' / 'hosts.sqlite'}"

    @property
    def operations(self) -> Path:
        """The boot server's table of operations: the one that the platform's own boot server has."""
        return self.folder / "epoxy" / "operations.json"

    @property
    def bucket(self) -> str:
        """The boot bucket, as the boot server asks it."""
        return f"http://127.0.0.1:{self.ports['objectstore']}/{BUCKET}"

    @property
    def bucket_token(self) -> Path:
        """What opens it."""
        return self.folder / "epoxy" / "bucket-token"

    def objects(self, method: str, path: str, **more: Any) -> requests.Response:
        """A call of the object store's API, by somebody who may write to the bucket."""
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://127.0.0.1:{self.ports['objectstore']}{path}"
            answer = session.request(method, url, timeout=60, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:200]}"
        return answer

    def release(self, version: str, *words: str) -> None:
        """Release the images that this checkout builds, and upload them as an operator does."""
        made = self.checkout.mlab("images", "release", version, "--env", ENV, *words)
        assert made.status == 0, made.err
        applied = self.checkout.apply(ENV, "--target", f"buckets/*{BUCKET}*")
        assert applied.status == 0, applied.out + applied.err
        again = self.checkout.mlab("plan", "--env", ENV, "--target", f"buckets/*{BUCKET}*")
        assert again.status == 0 and "0 to create, 0 to update, 0 to delete" in again.out, again.out

    def api(self) -> client.CoreV1Api:
        """The API server for its administrator."""
        return client.CoreV1Api(config.new_client_from_config(str(self.folder / "admin.kubeconfig")))

    def node(self, name: str) -> Any:
        """The Node of a machine, None if there is none."""
        found = self.api().list_node(field_selector=f"metadata.name={name}").items
        return found[0] if found else None

    def pod(self, node: str) -> Any:
        """The canary's pod on a node, None if there is none."""
        found = self.api().list_namespaced_pod("default", field_selector=f"spec.nodeName={node}").items
        return next(
            (
                pod
                for pod in found
                if pod.metadata is not None and (pod.metadata.labels or {}).get("workload") == WORKLOAD
            ),
            None,
        )


@contextmanager
def platform(folder: Path, listen: str) -> Iterator[Cluster]:
    """Start it with a small fleet that has the canary, and apply the canary and the host records."""
    bucket = (fleets.CHECKOUT / "config/buckets/epoxy.yaml").read_text()
    extra = {"config/experiments/canary.yaml": CANARY, "config/buckets/epoxy.yaml": bucket}
    root = fleets.write_fleet(folder / "fleet", extra=extra)
    repository(root)
    checkout = Checkout(root, folder / "state")
    try:
        done = checkout.mlab("up", "--env", ENV, "--listen", listen, "--json")
        assert done.status == 0, done.err
        servers = json.loads(done.out)["servers"]
        ports = {server["program"]: server["ports"][0] for server in servers if server["ports"]}
        wanted = ("epoxy", "kubernetes/*canary*", "kubernetes/PriorityClass*")
        applied = checkout.apply(ENV, *(word for name in wanted for word in ("--target", name)))
        assert applied.status == 0, applied.out + applied.err
        yield Cluster(checkout, ports)
    finally:
        assert checkout.mlab("down").status == 0


def ready(node: Any) -> bool:
    """Whether a Node says so of itself; never enough alone, since it still says so of the boot before."""
    return any(found.type == "Ready" and found.status == "True" for found in node.status.conditions or ())
