"""Container images of our own programs, and the two small ones that a node cannot be without.

`pause` holds a pod's namespaces; `canary` runs on every node and shows that a pod can. Both end on SIGTERM: a first
process ignores what it does not handle, and the node's power-off would wait for it. `node` holds the programs of a node
under the names that an installation gives them, `services` those of the boot service, `reconciler` the command line
that is the loop in a cluster: each with Python, the locked packages that they need, and nothing else.
"""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from node.images import containers, elf, git, python_files, wheels
from node.images import tree as trees
from node.images.containers import Image
from node.images.packages import Wanted
from node.images.tree import Tree

VERSION = "v1"
NODE = "measurementlab/node:v2.0.0"
"""What manifests name; a release that changes what is in it gets another version (`config/images/sidecars.yaml`)."""
WANTED = (
    Wanted(
        "bookworm",
        closed=(*python_files.PACKAGES, "libstdc++6", "ca-certificates", *git.LIBRARIES),
        alone=("busybox-static", *git.PACKAGES),
    ),
)
SMALL = (Wanted("bookworm", alone=("busybox-static",)),)
"""What `small` needs alone."""
_NOT_INSTALLED = {"epoxy_client": "node.boot.epoxy_client:main"}
_LAUNCHER = """\
#!/usr/bin/python3 -IS
import sys
from {module} import {function}
sys.exit({function}(sys.argv[1:]))
"""
_UNTIL_TOLD = 'trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done'
_CANARY = f'echo "canary: $(cat /proc/sys/kernel/hostname) runs pods"; {_UNTIL_TOLD}'
# Parts of the standard library that are for developers, or for screens.
_NOT_ON_A_NODE = ("test/", "idlelib/", "tkinter/", "turtledemo/", "lib2to3/", "ensurepip/", "distutils/", "pydoc_data/")


def reference(name: str) -> str:
    """How a pod names one of the small images."""
    return f"measurementlab/{name}:{VERSION}"


def small(files: Mapping[str, Path], *, time_s: int) -> dict[str, bytes]:
    """The images that every node carries in its root, as archives by name."""
    packages = Tree()
    trees.unpack(files["busybox-static"], packages)
    layer = Tree()
    layer.file("bin/busybox", packages.read("usr/bin/busybox"), 0o755)
    for applet in ("sh", "sleep", "cat", "echo"):
        layer.link(f"bin/{applet}", "busybox")
    commands = {"pause": _UNTIL_TOLD, "canary": _CANARY}
    return {
        name: containers.archive(Image(reference(name), (layer,), ("/bin/sh", "-c", text)), time_s=time_s)
        for name, text in commands.items()
    }


def build(files: Mapping[str, Path], source: Path, *, time_s: int) -> dict[str, bytes]:
    """All images as archives by file name. Raises `ImageError`."""
    made = small(files, time_s=time_s)
    packages = Tree()
    trees.merge_usr(packages)
    for path in files.values():
        trees.unpack(path, packages)
    compiled: dict[tuple[str, bytes], bytes] = {}
    for program in all_programs(source):
        made[program.name] = containers.archive(_image(program, packages, compiled, source), time_s=time_s)
    return {f"{name}.oci.tar": data for name, data in made.items()}


@dataclass(frozen=True, slots=True)
class Programs:
    """An image of Python programs: `places` are `module:function` by name, the first of them is what it runs.

    `sources` are folders and files with modules of ours that go in, but for those below `without`, `data` folders whose
    files lie beside them as they are, `packages` those of others that they import. `more` puts files of Debian's
    packages, the first tree, into the second.
    """

    name: str
    reference: str
    places: Mapping[str, str]
    sources: tuple[str, ...]
    packages: tuple[str, ...]
    data: tuple[str, ...] = ()
    without: str = ""
    more: Callable[[Tree, Tree], None] = python_files.certificates

    @property
    def paths(self) -> tuple[str, ...]:
        """All of the checkout that decides what is in it."""
        return (*self.sources, *self.data, wheels.LOCK)

    def files(self, source: Path) -> Iterator[Path]:
        """All of the checkout that goes in."""
        for place in (source / name for name in self.sources):
            found = place.rglob("*.py") if place.is_dir() else (place,)
            yield from sorted(path for path in found if not self.without or source / self.without not in path.parents)
        for name in self.data:
            yield from sorted(path for path in (source / name).rglob("*") if path.is_file())


def node(source: Path) -> Programs:
    """The programs of a node, by the names that an installation of the checkout gives them."""
    return Programs("node", NODE, installed(source), ("node",), wheels.WANTED, without="node/images")


SERVICES = Programs(
    "services",
    "measurementlab/services:v2.0.0",
    {
        "epoxy": "services.epoxy.__main__:main",
        "epoxy-tokens": "services.epoxy.tokens.__main__:main",
        "epoxy-command": "services.epoxy.command:main",
    },
    # The boot server makes a machine's first script by the very module that media are made by.
    ("services/__init__.py", "services/epoxy", "node/__init__.py", "node/boot/__init__.py", "node/boot/stage1.py"),
    (
        *("aiohttp", "cryptography", "httptools", "msgspec", "prometheus-client", "psycopg", "psycopg-binary"),
        *("psycopg-pool", "python-multipart", "requests", "starlette", "uvicorn"),
    ),
)
"""The boot server, its extension server and approver, and its administrator's verbs."""


RECONCILER = Programs(
    "reconciler",
    "measurementlab/reconciler:v2.0.0",
    {"mlab": "reconcilers.cli.main:entry"},
    # Verbs that make images and audit nodes, or run programs of this machine, import what does the work.
    (
        *("reconcilers", "services/__init__.py", "services/local", "node/__init__.py", "node/cloud_storage.py"),
        *("node/audit", "node/boot", "node/images", "node/pusher", "node/watch"),
    ),
    (
        *("airportsdata", "cryptography", "detect-secrets", "dnspython", "gitpython", "google-cloud-dns"),
        *("google-cloud-storage", "google-crc32c", "jsonschema-rs", "kubernetes", "msgspec", "prometheus-client"),
        *("promql-parser", "pyyaml", "requests", "rjsonnet", "shtab", "starlette", "tqdm", "uvicorn"),
    ),
    data=("schemas", "jsonnet"),
    more=git.put,
)
"""The command line, with the schemas and templates for a configuration that has none of its own."""


def all_programs(source: Path) -> tuple[Programs, ...]:
    """What is built besides the small images."""
    return (node(source), SERVICES, RECONCILER)


def installed(source: Path) -> dict[str, str]:
    """The programs of a node, `module:function` by name, as an installation of the checkout would have them."""
    scripts = tomllib.loads((source / "pyproject.toml").read_text())["project"]["scripts"]
    return {**_NOT_INSTALLED, **{name: place for name, place in scripts.items() if place.startswith("node.")}}


def commit(program: Programs, source: Path) -> str:
    """The short name of the commit that last changed what is in an image; "" outside a repository."""
    words = ["git", "-C", str(source), "log", "-1", "--format=%H", "--", *program.paths]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip()[:7] if done.returncode == 0 else ""


def stamp(source: Path) -> str:
    """What all images together tell of the sources' history."""
    return " ".join(commit(program, source) for program in all_programs(source))


def _image(program: Programs, debian: Tree, compiled: dict[tuple[str, bytes], bytes], source: Path) -> Image:
    packages = Tree(dict(debian.entries))
    theirs = {**_standard(packages), **dict(_wheels(wheels.folder(source, program.packages)))}
    ours = {str(path.relative_to(source)): path.read_bytes() for path in program.files(source)}
    modules = [place.partition(":")[0] for place in program.places.values()]
    made = python_files.compiled(packages, {**theirs, **ours}, modules, compiled)

    system, own = Tree(), Tree()
    trees.merge_usr(system)
    library = python_files.LIBRARY
    for name, data in theirs.items():
        if not name.endswith(".py"):
            packages.file(f"{library}/{name}", data)
    extensions = [path for path in packages if path.startswith(f"{library}/") and ".so" in path]
    bundled = sorted({path.rpartition("/")[0] for path in extensions if ".libs/" in path})
    elf.copy(packages, system, (python_files.INTERPRETER, *extensions), beside=bundled)
    program.more(packages, system)
    for name, data in theirs.items():
        if not name.endswith(".py") and ".so" not in name:
            system.file(f"{library}/{name}", data)
    for name, data in {**made, **{name: data for name, data in ours.items() if not name.endswith(".py")}}.items():
        (own if name in ours or name.removesuffix("c") in ours else system).file(f"{library}/{name}", data)
    for name, place in program.places.items():
        module, _, function = place.partition(":")
        own.file(f"usr/bin/{name}", _LAUNCHER.format(module=module, function=function), 0o755)
    system.link("usr/bin/python3", "python3.11")
    system.folder("tmp", 0o1777)
    system.file("etc/passwd", "root:x:0:0:root:/root:/\nnobody:x:65534:65534:nobody:/:/\n")
    environment = {"PATH": "/usr/bin", "GIT_SHORT_COMMIT": commit(program, source)}
    first = next(iter(program.places))
    return Image(program.reference, (system, own), (f"/usr/bin/{first}",), environment=environment)


def _standard(packages: Tree) -> dict[str, bytes]:
    """Python's own modules: all that might be imported some day, since a pod cannot fetch what is missing."""
    base = f"{python_files.LIBRARY}/"
    found = (path for path in packages if path.startswith(base) and path.endswith(".py"))
    names = {path.removeprefix(base): path for path in found}
    return {name: packages.read(path) for name, path in names.items() if not name.startswith(_NOT_ON_A_NODE)}


def _wheels(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        described = ".dist-info/" in name and not name.endswith("/METADATA")
        other = name.startswith("bin/") or "/tests/" in name or name.endswith((".pyi", ".proto", ".pyc", ".typed"))
        # The compressor's second backend, for interpreters that cannot load the first; a second client of the cluster,
        # which nobody asks for and which is larger than all the rest.
        spare = name.startswith(("zstandard/_cffi.", "zstandard/backend_cffi.", "kubernetes/aio/"))
        if path.is_file() and not (described or other or spare):
            yield name, path.read_bytes()
