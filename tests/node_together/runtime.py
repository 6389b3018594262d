"""Real containerd and runc, those that nodes run, started privately: images come in as archives, containers run.

What runs in a container is described by a whole runtime specification (OCI), as the kubelet would have it written. The
programs come out of the packages of stage 3; nothing is installed on the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.images import build, packages
from node.images import tree as trees
from node.images.packages import Resolved
from node.images.tree import Tree
from services.local.progress import Silent
from tests import waiting

PROGRAMS = ("usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr", "usr/sbin/runc")
LEFT = ("/run/containerd", "/opt/containerd")
"""What containerd makes outside its own folders."""


@dataclass(frozen=True, slots=True)
class Container:
    """What is to run, in the terms of the runtime. `mounts`: source and whether it may be written, by target."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: tuple[int, int]
    groups: tuple[int, ...]
    capabilities: tuple[str, ...]
    read_only: bool
    escalates: bool
    memory_bytes: int | None
    mounts: Mapping[str, tuple[Path, bool]] = field(default_factory=dict)


def programs(folder: Path) -> None:
    """The runtime's programs, out of Debian's packages, into its folder; needs a network that reaches them."""
    folder = folder / "bin"
    folder.mkdir(parents=True)
    resolved = packages.resolve(build.TARGETS["stage3"].wanted, Silent())
    chosen = Resolved(tuple(p for p in resolved.packages if p.name in ("containerd", "runc")))
    tree = Tree()
    for path in packages.fetch(chosen, Silent()).values():
        trees.unpack(path, tree, wanted=PROGRAMS.__contains__)
    for program in PROGRAMS:
        place = folder / program.rpartition("/")[2]
        place.write_bytes(tree.read(program))
        place.chmod(0o755)


class Runtime:
    """A running containerd; `network` is the namespace that all of its containers share, `groups` their cgroup."""

    def __init__(self, folder: Path, network: str) -> None:
        self.folder = folder
        self._network = network
        self._cgroup = network
        self._environment = {
            "PATH": f"{folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "CONTAINERD_ADDRESS": str(folder / "containerd.sock"),
        }
        self._mounted: list[Path] = []
        self._configs: dict[str, dict[str, Any]] = {}

    def ctr(self, *words: str) -> str:
        command = [str(self.folder / "bin" / "ctr"), *words]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment, check=False)
        assert done.returncode == 0, f"ctr {' '.join(words)}: {done.stderr}"
        return done.stdout

    def load(self, archive: Path) -> None:
        """Take up the image of an archive."""
        self.ctr("images", "import", str(archive))

    def config(self, image: str) -> dict[str, Any]:
        """What the image itself says of its process."""
        if image not in self._configs:
            (line,) = (line for line in self.ctr("images", "list").splitlines() if line.startswith(f"{image} "))
            manifest = json.loads(self.ctr("content", "get", line.split()[2]))
            self._configs[image] = json.loads(self.ctr("content", "get", manifest["config"]["digest"]))["config"]
        return self._configs[image]

    def start(self, container: Container, log: Path) -> subprocess.Popen[bytes]:
        """Run a container; the process ends with its status, and hands signals on to it."""
        spec = self.folder / f"{container.name}.json"
        spec.write_text(json.dumps(self._specification(container)))
        command = [str(self.folder / "bin" / "ctr"), "run", "--rm", "--config", str(spec), container.name]
        with log.open("wb") as file, log.with_suffix(".err").open("wb") as errors:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=errors, env=self._environment
            )

    def processes(self) -> dict[str, int]:
        """The first process of each running container."""
        lines = (line.split() for line in self.ctr("tasks", "list").splitlines()[1:])
        return {name: int(pid) for name, pid, *_ in lines}

    def memory_limit_bytes(self, name: str) -> int:
        """What the kernel holds a container to."""
        return int(Path(f"/sys/fs/cgroup/memory/{self._cgroup}/{name}/memory.limit_in_bytes").read_text())

    def _specification(self, container: Container) -> dict[str, Any]:
        root = self.folder / "roots" / container.name
        root.mkdir(parents=True)
        self.ctr("images", "mount", "--rw", container.image, str(root))
        self._mounted.append(root)
        config = self.config(container.image)
        made: dict[str, Any] = json.loads(self.ctr("oci", "spec"))
        rights = [f"CAP_{name}" for name in container.capabilities]
        uid, gid = container.user
        own = dict(entry.split("=", 1) for entry in config.get("Env", ()))
        made["process"] |= {
            "args": list(container.command),
            "env": [f"{key}={value}" for key, value in {**own, **container.environment}.items()],
            "cwd": config.get("WorkingDir") or "/",
            "user": {"uid": uid, "gid": gid, "additionalGids": list(container.groups)},
            # As Kubernetes has it: a user other than root loses them when the program starts.
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted", "inheritable"), rights),
            "noNewPrivileges": not container.escalates,
        }
        made["root"] = {"path": str(root), "readonly": container.read_only}
        made["mounts"] += [
            {
                "type": "bind",
                "source": str(source),
                "destination": target,
                "options": ["rbind", "rprivate", "rw" if writable else "ro"],
            }
            for target, (source, writable) in container.mounts.items()
        ]
        for namespace in made["linux"]["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = f"/run/netns/{self._network}"
        made["linux"]["cgroupsPath"] = f"/{self._cgroup}/{container.name}"
        if container.memory_bytes is not None:
            made["linux"]["resources"]["memory"] = {"limit": container.memory_bytes}
        return made

    def serve(self) -> Generator[None, None, None]:
        """Be there until the generator is closed."""
        for name in ("root", "state", "roots"):
            (self.folder / name).mkdir()
        config = self.folder / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{self.folder}/root"\nstate = "{self.folder}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{self.folder}/containerd.sock"\n'
        )
        before = {path for path in LEFT if Path(path).exists()}
        with (self.folder / "containerd.log").open("wb") as log:
            command = [str(self.folder / "bin" / "containerd"), "--config", str(config)]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        try:
            said = (self.folder / "containerd.log").read_text
            waiting.until(lambda: "successfully booted" in said(), "containerd starts", process=process, told=said)
            yield
        finally:
            for name in self.ctr("tasks", "list", "--quiet").split():
                subprocess.run(
                    [str(self.folder / "bin" / "ctr"), "tasks", "delete", "--force", name],
                    env=self._environment,
                    capture_output=True,
                    check=False,
                )
            process.terminate()
            process.wait()
            for root in self._mounted:
                subprocess.run(["umount", str(root)], check=True)
            self._clean(before)

    def _clean(self, before: set[str]) -> None:
        """Empty folders that are left of us, and of nobody else."""
        found = [Path(path) for path in LEFT if path not in before]
        found += list(Path("/sys/fs/cgroup").glob(f"*/{self._cgroup}"))
        for top in found:
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()


@contextmanager
def running(folder: Path, network: str) -> Iterator[Runtime]:
    """A runtime, of the `programs` in its folder, whose containers live in a network namespace."""
    made = Runtime(folder, network)
    serving = made.serve()
    next(serving)
    try:
        yield made
    finally:
        serving.close()
