"""The boot service's programs in their container image, under the containerd that nodes run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from node.images import programs
from tests import waiting
from tests.epoxy_service import record
from tests.images.conftest import container, running
from tests.node_together.runtime import Runtime

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.timeout(1800)]

IMAGE = f"docker.io/{programs.SERVICES.reference}"
LIMIT_S = 300.0
PORT = 8081
TOKEN = "admin-token-of-this-test-only"
HOST = "mlab1-lga1t.mlab-sandbox.measurement-lab.test"


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime that has the image."""
    with running(tmp_path_factory.mktemp("services"), "services.oci.tar") as made:
        yield made


def test_the_image_starts_the_boot_server_and_has_every_program(containers: Runtime, tmp_path: Path) -> None:
    assert containers.config(IMAGE)["Entrypoint"] == ["/usr/bin/epoxy"]
    for command in (("epoxy-tokens", "serve"), ("epoxy-tokens", "approve"), ("epoxy-command",)):
        log = tmp_path / "-".join(command)
        process = containers.start(container(IMAGE, *command, "--help"), log)
        assert process.wait(LIMIT_S) == 0, log.with_suffix(".err").read_text()
        assert log.read_text().startswith("usage: "), log.read_text()


def test_the_boot_server_serves_out_of_its_image_and_ends_when_told(containers: Runtime, tmp_path: Path) -> None:
    data, secrets, log = tmp_path / "data", tmp_path / "secrets", tmp_path / "log"
    data.mkdir(mode=0o777)
    data.chmod(0o777)
    secrets.mkdir()
    (secrets / "token").write_text(f"{TOKEN}\n")
    one = container(
        *(IMAGE, "epoxy", f"--listen=127.0.0.1:{PORT}", "--store=sqlite:///data/hosts.db"),
        "--admin-token-file=/secrets/token",
        mounts={"/data": (data, True), "/secrets": (secrets, False)},
    )
    process = containers.start(one, log)
    said = log.with_suffix(".err").read_text
    waiting.until(lambda: '"listening"' in said(), "it listens", limit_s=LIMIT_S, process=process, told=said)
    url = f"http://127.0.0.1:{PORT}"
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {TOKEN}", "If-None-Match": "*"}
        body = record(HOST, IPv4Addr="127.0.0.1")
        made = session.put(f"{url}/admin/v1/hosts/{HOST}", json=body, headers=headers, timeout=60)
        assert made.status_code == 201, made.text
        stage1 = session.post(f"{url}/v1/boot/{HOST}/stage1.ipxe", data={}, timeout=60)
        assert stage1.status_code == 200 and stage1.text.startswith("#!ipxe\n"), stage1.text
        script = session.get(f"{url}/v1/media/{HOST}/autoexec.ipxe", timeout=60)
        assert script.status_code == 200 and "##params" in script.text
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT_S) == 0, log.with_suffix(".err").read_text()
    assert '"stopped"' in log.with_suffix(".err").read_text()
