"""The loop in its container image, as its manifest runs it, under the containerd that nodes run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from node.images import programs
from reconcilers.load import fleet as loading
from reconcilers.load.jsonnet import Engine
from reconcilers.render import kubernetes as rendering
from tests import fleets
from tests.e2e.checkout import Checkout, repository
from tests.images import githost
from tests.images.conftest import NOBODY, container, running
from tests.loop import edits
from tests.loop.process import Running
from tests.node_together import pod
from tests.node_together.runtime import Container, Runtime

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.timeout(1800)]

REPOSITORY, _, VERSION = programs.RECONCILER.reference.partition(":")
IMAGE = f"docker.io/{programs.RECONCILER.reference}"
LIMIT_S = 300.0
TARGETS = ("buckets", "epoxy")
EVERY_MODULE = (
    "import importlib, pkgutil, reconcilers\n"
    "for found in pkgutil.walk_packages(reconcilers.__path__, 'reconcilers.'):\n"
    "    importlib.import_module(found.name)\n"
    "    print(found.name)\n"
)
GITCONFIG = """\
[http]
\tsslCAInfo = /run/secrets/mlab/ca.pem
[credential]
\thelper = "!cat /run/secrets/mlab/credential; :"
"""


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime that has the image."""
    with running(tmp_path_factory.mktemp("reconciler"), "reconciler.oci.tar") as made:
        yield made


@pytest.fixture
def fleet(containers: Runtime, tmp_path: Path) -> Iterator[Checkout]:
    """The small fleet with its loop, each commit signed, and its servers in the network of the containers."""
    root = fleets.write_fleet(tmp_path / "fleet")
    loop = f"loop: {{repository: '{githost.URL}', targets: [{', '.join(TARGETS)}]}}\nmodes:"
    fleets.edit(root, "config/environments/sandbox.yaml", "modes:", loop)
    fleets.edit(root, "config/environments/sandbox.yaml", "epoxy: report", "epoxy: heal")
    pinned = f"images:\n  reconciler: {{name: {REPOSITORY}, version: {VERSION}}}\n"
    fleets.edit(root, "config/images/system.yaml", "images:\n", pinned)
    repository(root)
    checkout = Checkout(root, tmp_path / "state")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    settings = {"gpg.format": "ssh", "user.signingkey": str(tmp_path / "key"), "commit.gpgsign": "true"}
    for name, value in settings.items():
        checkout.git("config", name, value)
    checkout.commit("Signed")
    up = checkout.mlab("up", "--light", "--env", "sandbox")
    assert up.status == 0, up.err
    try:
        yield checkout
    finally:
        assert checkout.mlab("down").status == 0


def deployed(checkout: Checkout) -> Mapping[str, Any]:
    """The spec of the pod that the configuration gives to the loop."""
    fleet = loading.load(checkout.root).require()
    found = rendering.resources(fleet, fleet.environments["sandbox"], Engine(fleets.CHECKOUT / "jsonnet", None))
    (deployment,) = (r for r in found if r.id.kind == "Deployment.apps" and "mlab-reconciler" in r.id.name)
    spec: Mapping[str, Any] = deployment.spec["spec"]["template"]["spec"]
    return spec


def in_pod(spec: Mapping[str, Any], state: Path, secrets: Path, *words: str) -> Container:
    """The pod's container with folders of this test as its volumes, and more words than the manifest has."""
    (manifest,) = spec["containers"]
    folders = {"state": state, "secrets": secrets}
    mounts = {m["mountPath"]: (folders[m["name"]], not m.get("readOnly")) for m in manifest["volumeMounts"]}
    made = pod.container(spec, manifest, {entry["name"]: entry["value"] for entry in manifest["env"]}, mounts)
    # The kubelet writes this file.
    hosts = state.with_name("hosts")
    hosts.write_text(f"127.0.0.1 localhost {githost.NAME}\n")
    assert made.image == IMAGE and "command" not in manifest
    return replace(
        made, command=("/usr/bin/mlab", *made.command, *words), mounts={**made.mounts, "/etc/hosts": (hosts, False)}
    )


def platform(checkout: Checkout, state: Path, secrets: Path) -> None:
    """Where the targets are, with the tokens in the pod's Secret."""
    document = json.loads((checkout.state / "platform" / "platform.json").read_text())
    document["environments"] = {"sandbox": {"targets": {name: edits.targets(checkout)[name] for name in TARGETS}}}
    token = document["environments"]["sandbox"]["targets"]["epoxy"]["token"]
    (secrets / "epoxy").write_text(Path(token["secretRef"].removeprefix("file:")).read_text())
    token["secretRef"] = "file:/run/secrets/mlab/epoxy"
    (state / "platform").mkdir()
    (state / "platform" / "platform.json").write_text(json.dumps(document))


def test_the_image_has_the_command_with_all_that_its_verbs_import(containers: Runtime, tmp_path: Path) -> None:
    assert containers.config(IMAGE)["Entrypoint"] == ["/usr/bin/mlab"]
    assert containers.config(IMAGE)["User"] == f"{NOBODY}:{NOBODY}"
    root = fleets.write_fleet(tmp_path / "fleet")

    def said(*command: str) -> str:
        log = tmp_path / "-".join(word.strip("-/").rpartition("/")[2] for word in command[:2])
        one = container(IMAGE, *command, mounts={"/fleet": (root, False)})
        status = containers.start(one, log).wait(LIMIT_S)
        assert status == 0, log.with_suffix(".err").read_text()
        return log.read_text()

    assert said("mlab", "--help").startswith("usage: mlab")
    problems = json.loads(said("mlab", "validate", "--root", "/fleet", "--json"))
    assert not [problem for problem in problems if problem["severity"] == "error"]
    ours = {".".join(path.relative_to(fleets.CHECKOUT).with_suffix("").parts) for path in modules()}
    assert set(said("python3", "-ISc", EVERY_MODULE).splitlines()) == ours


def modules() -> Iterator[Path]:
    """Every module of the reconcilers; a package by its folder."""
    for path in (fleets.CHECKOUT / "reconcilers").rglob("*.py"):
        if path.name == "__init__.py":
            if path.parent.name != "reconcilers":
                yield path.parent
        else:
            yield path


def test_the_pod_of_the_manifest_fetches_verifies_and_reconciles(
    containers: Runtime, fleet: Checkout, tmp_path: Path
) -> None:
    state, secrets = tmp_path / "volume", tmp_path / "secrets"
    state.mkdir()
    state.chmod(0o2777)
    secrets.mkdir()
    platform(fleet, state, secrets)
    files = {"hook": "secret-of-this-hook", "gitconfig": GITCONFIG}
    files["credential"] = "username={}\npassword={}\n".format(*githost.ACCOUNT)
    files["signers"] = f"test@measurement-lab.test {(tmp_path / 'key.pub').read_text()}"
    for name, text in files.items():
        (secrets / name).write_text(text)
    words = ("--signers=/run/secrets/mlab/signers", "--interval=0.3", "--git-interval=0.3")
    loop = Running(fleet, tmp_path / "seen", address="127.0.0.1:8080", limit_s=LIMIT_S)
    loop.log = tmp_path / "log.err"
    with githost.served(fleet.root, tmp_path) as authority:
        (secrets / "ca.pem").write_bytes(authority)
        loop.process = containers.start(in_pod(deployed(fleet), state, secrets, *words), tmp_path / "log")
        try:
            loop.until(lambda: "/status" in loop.log.read_text())
            loop.until(lambda: loop.settled(edits.head(fleet)))
            assert loop.get("/readyz").status_code == loop.get("/healthz").status_code == 200
            assert set(loop.status()["scopes"]) == set(TARGETS)
            released = edits.release(fleet, "v2.1.11")
            loop.until(lambda: loop.settled(released))
            assert edits.Registry(fleet).release() == "v2.1.11"
            fleet.git("-c", "commit.gpgsign=false", "commit", "-q", "--allow-empty", "-m", "Unsigned")
            loop.until(lambda: "no signature" in loop.status()["refused"])
            assert requests.post(f"http://{loop.address}/hook", data=b"{}", timeout=60).status_code == 401
        finally:
            status = loop.stop()
    assert status == 0, loop.log.read_text()
    assert not [path.name for path in state.glob("mlab-loop-*")], "each rendering's folder goes with it"
