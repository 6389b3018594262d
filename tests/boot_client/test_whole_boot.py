"""All stages against the real boot server, without a machine: each kernel's command line is what the stage before gave.

The server has a store, a folder as its bucket, TLS and an extension server. `kexec` and `systemctl` are scripts that
write down how they were called; everything else is what a machine runs.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.boot import actions, client, cmdline
from services.epoxy import sessions, store
from tests.boot_client.authority import Authority
from tests.boot_client.bootserver import Server, document
from tests.boot_client.conftest import Machine
from tests.epoxy import authorities
from tests.epoxy_service import ROOT, Service, name, record
from tests.faultproxy import closed_port

IMAGES = {image: image.encode() * 3000 for image in (*actions.IMAGES, actions.SETTINGS)}
TOKEN = "abcdef.0123456789abcdef"
HOST = name(3)
VERSION = "v2.1.10"


class World:
    """The servers of one boot and the programs that a machine finds."""

    def __init__(self, folder: Path, cluster: Authority, extension: Server) -> None:
        self.folder, self.cluster = folder, cluster
        self.token = extension.site()
        given = {
            "api_address": "api.test:6443",
            "token": TOKEN,
            "ca_hash": "sha256:" + hashlib.sha256(cluster.spki).hexdigest(),
        }
        operation = {"url": self.token.on("POST", "/token", document(given)), "stages": ["stage3"]}
        (folder / "operations.json").write_text(json.dumps({"allocate_k8s_token": operation}))
        self.server = f"127.0.0.1:{closed_port()}"
        certificate = authorities.serve(folder, "linux", "linux-root")
        self.trust = authorities.trust(folder, "linux-root")
        self.service = Service(
            folder,
            *("--linux-listen", self.server, "--public-hostname", self.server),
            *("--linux-certificate", str(certificate), "--linux-key", str(folder / "linux.key")),
            *("--storage-prefix-url", f"file://{folder}/bucket", "--operations", str(folder / "operations.json")),
        ).start()

    def publish(self, programs: Path) -> None:
        """A release in the bucket, and the host's record that names it."""
        storage = f"https://{self.server}/v1/storage"
        hashes = {image: hashlib.sha256(body).hexdigest() for image, body in IMAGES.items()}
        path, actions.PATH = actions.PATH, f"{programs}:/usr/bin:/bin"
        try:
            made = actions.documents(
                actions.Release(storage, hashes, "console=ttyS0"),
                actions.Cluster(self.cluster.pem, actions.kubelet()),
            )
        finally:
            actions.PATH = path
        release = self.folder / "bucket" / VERSION / actions.FOLDER
        release.mkdir(parents=True)
        for image, body in {**IMAGES, **made}.items():
            (release / image).write_bytes(body)
        base = f"{storage}/{{{{VERSION}}}}/{actions.FOLDER}"
        stages = {"stage1.ipxe": "stage1to2.ipxe", "stage1.json": "stage1to2.json"}
        stages |= {"stage2": "stage2to3.json", "stage3": "stage3post.json"}
        sequence = {key: f"{base}/{file}" for key, file in stages.items()}
        self.service.create(record(HOST, IPv4Addr="127.0.0.1", Boot=sequence, Update=sequence, ImagesVersion=VERSION))

    def programs(self, root: Path, line: Path) -> Path:
        """kexec, systemctl, and a python3 that finds the checkout and joins below `root`."""
        folder = self.folder / "bin"
        folder.mkdir()
        certificate = f"{root}/var/lib/kubelet/pki/kubelet-client-current.pem"
        scripts = {
            # The real one ends every process: the client is not there any more to report.
            "kexec": f'for word; do case "$word" in --command-line=*) printf %s "${{word#*=}}" > {line};; '
            '--exec) kill -9 "$PPID";; esac; done',
            "systemctl": f"case $* in *kubelet*) mkdir -p {Path(certificate).parent}; touch {certificate};; esac",
            "python3": f'shift 3; cd {ROOT}; exec {sys.executable} -m "$@" --root={root} --cmdline={line} '
            f"--ca-file={self.trust} --wait=30",
        }
        for program, script in scripts.items():
            (folder / program).write_text(f"#!/bin/sh\n{script}\n")
            (folder / program).chmod(0o755)
        return folder


@pytest.fixture
def world(tmp_path: Path, authority: Authority) -> Iterator[World]:
    extension = Server(None)
    made = World(tmp_path, authority, extension)
    yield made
    made.service.kill()
    extension.close()


def run(world: World, line: Path, stage: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """The client of one stage on the command line as it is now; it is killed where the machine changes its kernel."""
    words = ["-action", f"epoxy.{stage}", "-cmdline", str(line), "-ca-file", str(world.trust), *flags]
    return subprocess.run(
        [sys.executable, "-m", "node.boot.epoxy_client", *words],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(world.folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def first_line(world: World) -> str:
    """As a medium has it, which starts Linux as stage 1."""
    return (
        f"quiet epoxy.hostname={HOST} epoxy.project=mlab-sandbox epoxy.interface=eth0 epoxy.ipv6= "
        f"epoxy.ipv4=127.0.0.1/26,127.0.0.2,, epoxy.stage1=https://{world.server}/v1/boot/{HOST}/stage1.json"
    )


def test_a_machine_goes_from_stage1_to_a_success_in_the_servers_history(world: World) -> None:
    line, root = world.folder / "cmdline", world.folder / "root"
    world.publish(world.programs(root, line))
    line.write_text(first_line(world))
    lines, said = [], ""
    for stage, status in (("stage1", -signal.SIGKILL), ("stage2", -signal.SIGKILL), ("stage3", client.DONE)):
        lines.append(cmdline.parse(line.read_text()))
        done = run(world, line, stage, "-retry=false", f"-add-kargs={'true' if stage == 'stage1' else 'false'}")
        said += done.stdout + done.stderr
        assert done.returncode == status, done.stderr

    assert "epoxy.stage2" in lines[1] and "epoxy.stage2" not in lines[2]
    assert lines[2]["epoxy.images_version"] == VERSION and "epoxy.stage1" not in lines[1]
    hosts = store.connect(world.service.store_url)
    (boot,) = hosts.boots(HOST, 5)
    hosts.close()
    (told,) = boot.reports
    assert (told.message, boot.stage) == ("success", sessions.Stage.DONE)
    assert {"ask", "chain", "files", "commands", "commands.join.certificate"} <= set(
        json.loads(told.details["stage.times"])
    )
    assert "joined: the certificate is here" in told.details["log.tail"]
    (asked,) = world.token.asked
    assert json.loads(asked.body)["v1"]["hostname"] == HOST
    assert json.loads((root / "etc/kubernetes/kubelet.json").read_text())["kind"] == "KubeletConfiguration"
    everything = said + repr(told) + world.service.log.read_text()
    for key in ("epoxy.stage2", "epoxy.stage3", "epoxy.report", "epoxy.allocate_k8s_token"):
        identity = lines[1][key].split("/")[6]
        assert len(identity) == 27 and identity not in everything
    assert TOKEN.split(".")[1] not in everything


def test_a_session_of_an_older_boot_ends_the_client_with_its_own_status(
    world: World, machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    line = world.folder / "cmdline"
    world.publish(world.programs(world.folder / "root", line))
    made = []
    for _ in range(2):
        line.write_text(first_line(world))
        assert run(world, line, "stage1", "-add-kargs").returncode == -signal.SIGKILL
        made.append(line.read_text())
    older, newer = made
    options = machine.options._replace(cmdline=line, ca_file=world.trust, retry=True)
    line.write_text(older)
    assert client.run(options, pause=machine.pauses.append) == client.OVER
    assert "status 403" in capfd.readouterr().err
    line.write_text(newer)
    assert run(world, line, "stage2").returncode == -signal.SIGKILL
