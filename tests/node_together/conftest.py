"""One life of a pod, from its first init container to the end of its last one, and what was left of it."""

from __future__ import annotations

import gzip
import io
import json
import signal
import subprocess
import tarfile
import time
import uuid as unique
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from node import cloud_storage
from node.images import containers, packages, programs
from node.images import tree as trees
from node.images.tree import Tree
from services.local import namespace
from services.local.progress import Silent
from tests import objectstore_process, waiting
from tests.boot import server
from tests.manifests.pods import Pod, pods, rendered
from tests.node_together import runtime
from tests.node_together.pod import Placed, reference
from tests.node_together.writer import CLIENT, SERVER

EXPERIMENT = "wehe"
"""It has datatypes of both kinds: archived as they are, and loaded line by line."""
CONNECTIONS, FILES = 200, 2_000
UUID = "/var/local/uuid"
POD_ADDRESS = "192.168.44.5"
FIELDS = {
    "metadata.name": f"{EXPERIMENT}-abc12",
    "spec.nodeName": "mlab1-lga1t.mlab-sandbox.measurement-lab.test",
    "status.podIP": POD_ADDRESS,
}
COLLECT_S = 6
"""In place of the 40 s for which pusher and jostler wait for tests that still run."""
SIDECARS = ("tcp-info", "pusher", "jostler")
READY = {"tcp-info": "recording into", "pusher": "pushing ", "jostler": "pushing "}
OURS = ("set-up-uuid-prefix-file", "set-data-dir-perms", "set-datatypes-dir-perms")
"""The init containers that run here: the others need images of the public platform, or a firewall."""
LIMIT_S = 300.0
"""Bounds a failure only."""


@dataclass(slots=True)
class Life:
    """What was seen. `ended_s`: seconds from SIGTERM, by container; `processes`: status fields while it ran."""

    placed: Placed
    store: str
    bucket: str
    statuses: dict[str, int] = field(default_factory=dict)
    ended_s: dict[str, float] = field(default_factory=dict)
    processes: dict[str, dict[str, str]] = field(default_factory=dict)
    memory_bytes: dict[str, int] = field(default_factory=dict)
    folders: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    @property
    def spool(self) -> Path:
        return self.placed.node / "cache" / "data" / EXPERIMENT

    def members(self, datatype: str) -> Iterator[tuple[str, bytes]]:
        """Name and content of everything in the archives of a datatype."""
        for name, data in self.objects.items():
            if name.startswith(f"{EXPERIMENT}/{datatype}/"):
                with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                    for member in archive:
                        file = archive.extractfile(member)
                        assert file is not None
                        yield member.name, file.read()

    def lines(self, datatype: str) -> Iterator[tuple[str, bytes]]:
        """Name and content of everything in the lines of a datatype, as its index has it, too."""
        begin = f"autoload/v1/{EXPERIMENT}/{datatype}/"
        for name, data in self.objects.items():
            if name.startswith(begin):
                index = name.replace(f"/{datatype}/", "/index1/").replace("-data.jsonl.gz", "-index1.jsonl.gz")
                listed = [json.loads(line) for line in gzip.decompress(self.objects[index]).splitlines()]
                found = gzip.decompress(data).splitlines()
                assert [(entry["Filename"], entry["Size"]) for entry in listed] == [
                    (json.loads(line)["Archiver"]["Filename"], len(line)) for line in found
                ]
                for entry, line in zip(listed, found, strict=True):
                    path = entry["Filename"].removeprefix(f"{self.placed.pod.spool}/{datatype}/")
                    yield path, line.partition(b'"Raw":')[2].removesuffix(b"}")


@contextmanager
def network() -> Iterator[str]:
    """A namespace with the addresses of a pod, its clients' too, on its `lo`; this thread is in it meanwhile."""
    name = f"mlab-pod-{unique.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        for address in (CLIENT, SERVER, POD_ADDRESS):
            subprocess.run(["ip", "-n", name, "address", "add", address, "dev", "lo"], check=True)
        with namespace.entered(name):
            yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def busybox(image: str) -> bytes:
    """Debian's busybox as the image that manifests name."""
    tree, layer = Tree(), Tree()
    for path in packages.fetch(packages.resolve(programs.SMALL, Silent()), Silent()).values():
        trees.unpack(path, tree)
    layer.file("bin/busybox", tree.read("usr/bin/busybox"), 0o755)
    for applet in ("sh", "mkdir", "chown", "chmod", "find"):
        layer.link(f"bin/{applet}", "busybox")
    name = reference(image).removeprefix("docker.io/")
    return containers.archive(containers.Image(name, (layer,), ("/bin/sh",)), time_s=0)


class Kubelet:
    """Runs the containers of a pod."""

    def __init__(self, of: runtime.Runtime, placed: Placed, folder: Path, store: str) -> None:
        self._of = of
        self._placed = placed
        self._logs = folder
        self._store = store
        self._started: list[subprocess.Popen[bytes]] = []

    def log(self, name: str) -> str:
        return "".join((self._logs / f"{name}{end}").read_text() for end in (".out", ".err"))

    def start(self, container: runtime.Container) -> subprocess.Popen[bytes]:
        self._started.append(self._of.start(container, self._logs / f"{container.name}.out"))
        return self._started[-1]

    def kill(self) -> None:
        """Whatever still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()

    def container(self, manifest: Mapping[str, Any]) -> runtime.Container:
        return self._placed.container(manifest, {"STORAGE_EMULATOR_HOST": self._store})

    def initialise(self) -> None:
        """The init containers, one after the other."""
        for name in self._placed.pod.names("initContainers"):
            if name in OURS:
                process = self.start(self.container(self._placed.pod.container(name, "initContainers")))
                assert process.wait(LIMIT_S) == 0, self.log(name)

    def sidecar(self, name: str) -> subprocess.Popen[bytes]:
        """One that listens when this returns."""
        container = self.container(self._placed.pod.container(name))
        wait = "-sigterm_wait_time="
        words = tuple(word for word in container.command if not word.startswith(wait))
        if name != "tcp-info":
            words += (f"{wait}{COLLECT_S}s",)
        process = self.start(replace(container, command=words))
        self._until_said(READY[name], name, process)
        return process

    def measurement(self) -> subprocess.Popen[bytes]:
        """Its container, with our writer in place of its program."""
        pod = self._placed.pod
        container = self.container(pod.container(EXPERIMENT))
        written = [path for path in container.mounts if path.startswith(f"{pod.spool}/")]
        words = ("python3", "-IS", "/writer.py", str(CONNECTIONS), str(FILES), f"{UUID}/prefix", *written)
        beside = self.container(pod.container("tcp-info"))
        more = {"/writer.py": (Path(__file__).with_name("writer.py"), False)}
        mounts = {**container.mounts, **more, UUID: beside.mounts[UUID]}
        process = self.start(replace(container, image=beside.image, command=words, mounts=mounts))
        self._until_said("made\n", EXPERIMENT, process)
        return process

    def _until_said(self, words: str, name: str, process: subprocess.Popen[bytes]) -> None:
        waiting.until(
            lambda: words in self.log(name),
            f"{name} says {words!r}",
            limit_s=LIMIT_S,
            process=process,
            told=lambda: self.log(name),
        )


def live(kubelet: Kubelet, of: runtime.Runtime, seen: Life) -> None:
    """From the start to the end."""
    kubelet.initialise()
    for path in (seen.spool, *seen.spool.iterdir()):
        status = path.stat()
        seen.folders[path.name] = (status.st_uid, status.st_gid, status.st_mode & 0o7777)
    running = {name: kubelet.sidecar(name) for name in SIDECARS}
    running[EXPERIMENT] = kubelet.measurement()
    for name, pid in of.processes().items():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        seen.processes[name] = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        seen.memory_bytes[name] = of.memory_limit_bytes(name)
    began = time.monotonic()
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    deadline = began + seen.placed.pod.spec["terminationGracePeriodSeconds"]
    while running and time.monotonic() < deadline:
        for name in [name for name, process in running.items() if process.poll() is not None]:
            seen.statuses[name] = running.pop(name).returncode
            seen.ended_s[name] = time.monotonic() - began
        time.sleep(0.02)
    assert not running, "".join(kubelet.log(name) for name in running)
    seen.told = json.loads(kubelet.log(EXPERIMENT).splitlines()[-1])


@pytest.fixture(scope="package")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """One pod's."""
    folder = tmp_path_factory.mktemp("pod")
    (placed,) = (p for p in pods("sandbox") if p.placement == EXPERIMENT)
    files = {r.spec["metadata"]["name"]: r.spec["data"] for r in rendered("sandbox") if r.id.kind == "ConfigMap"}
    archives = {"node.oci.tar": server.built("oci")["node.oci.tar"]}
    archives["busybox.tar"] = busybox(_image(placed, "set-data-dir-perms"))
    for name, data in archives.items():
        (folder / name).write_bytes(data)
    for name in ("store", "logs", "node"):
        (folder / name).mkdir()
    runtime.programs(folder / "runtime")
    with (
        network() as name,
        objectstore_process.running(folder / "store") as url,
        runtime.running(folder / "runtime", name) as of,
    ):
        for name in archives:
            of.load(folder / name)
        client = cloud_storage.client("test", url)
        (flag,) = (word for word in placed.container("pusher")["args"] if word.startswith("-bucket="))
        bucket = client.create_bucket(flag.partition("=")[2])
        seen = Life(Placed(placed, folder / "node", FIELDS, files), url, bucket.name)
        kubelet = Kubelet(of, seen.placed, folder / "logs", url)
        try:
            live(kubelet, of, seen)
        finally:
            kubelet.kill()
        seen.objects = {blob.name: blob.download_as_bytes(raw_download=True) for blob in bucket.list_blobs()}
        client.close()
        yield seen


def _image(pod: Pod, name: str) -> str:
    return str(pod.container(name, "initContainers")["image"])
