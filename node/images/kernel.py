"""A kernel out of its package, and the modules that an image needs of its four thousand.

Modules are chosen by name or folder; what they depend on (the `depends=` of their own description) comes along. One
kernel serves every stage and both metal and virtual machines.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.images import tree as trees
from node.images.errors import ImageError
from node.images.tree import Tree

META = "linux-image-amd64"
"""The package that depends on the newest kernel of the suite."""
# Nine tenths of all modules by size, and nothing that a node in a rack has.
_LEFT_OUT = re.compile(
    r"/kernel/(sound|drivers/(gpu|media|net/wireless|iio|comedi|staging|video|bluetooth|isdn|infiniband/ulp)"
    r"|net/(wireless|mac80211|bluetooth))/"
)
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_LISTS = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel: its release, its image, the path and content of each module by name, and its own lists."""

    release: str
    image: bytes
    modules: Mapping[str, tuple[str, bytes]]
    lists: Mapping[str, bytes]


def read(package: Path) -> Kernel:
    """Take a kernel's package apart. Raises `ImageError`."""
    tree = Tree()
    trees.unpack(
        package, tree, wanted=lambda path: path.startswith(("boot/vmlinuz-", "usr/lib/modules/")) and not left_out(path)
    )
    image = next((path for path in tree if path.startswith("boot/vmlinuz-")), None)
    if image is None:
        raise ImageError(f"{package.name}: no kernel image in it")
    release = image.removeprefix("boot/vmlinuz-")
    base = f"usr/lib/modules/{release}/"
    modules = {
        module_name(path): (path.removeprefix(base), tree.entries[path].data) for path in tree if path.endswith(".ko")
    }
    lists = {name: tree.read(base + name) for name in _LISTS if base + name in tree}
    return Kernel(release, tree.read(image), modules, lists)


def apart(files: Mapping[str, Path], wanted: Callable[[str], bool]) -> tuple[Kernel, Tree]:
    """The kernel among packages, and the wanted files of all others. Raises `ImageError`."""
    others, found = Tree(), ""
    trees.merge_usr(others)
    for name, path in sorted(files.items()):
        if name.startswith("linux-image-"):
            found = name
        else:
            trees.unpack(path, others, wanted=wanted)
    return read(files[found]), others


def left_out(path: str) -> bool:
    """Whether a module is of a kind that no node has."""
    return _LEFT_OUT.search(path) is not None


def module_name(path: str) -> str:
    """`a/virtio-rng.ko` is known as `virtio_rng`."""
    return path.rpartition("/")[2].removesuffix(".ko").replace("-", "_")


def closure(kernel: Kernel, wanted: Sequence[str]) -> tuple[str, ...]:
    """Names of the wanted modules (a name, or a folder that ends with a slash) and of all that they depend on.

    Raises `ImageError` for a wish that matches nothing: a renamed driver would be missed in a rack.
    """
    waiting: list[str] = []
    for wish in wanted:
        if wish.endswith("/"):
            found = [name for name, (path, _) in kernel.modules.items() if path.startswith(f"kernel/{wish}")]
        else:
            found = [wish] if wish in kernel.modules else []
        if not found and not _built_in(kernel, wish):
            raise ImageError(f"kernel {kernel.release} has no module {wish}")
        waiting.extend(found)
    chosen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in chosen:
            continue
        if name not in kernel.modules:
            raise ImageError(f"kernel {kernel.release}: a chosen module depends on {name}, which is left out")
        chosen.add(name)
        depends = _DEPENDS.search(kernel.modules[name][1])
        waiting.extend(part.replace("-", "_") for part in (depends[1].decode().split(",") if depends else ()) if part)
    return tuple(sorted(chosen))


def install(kernel: Kernel, wanted: Sequence[str], tree: Tree) -> None:
    """Put the modules into a tree with the lists that modprobe reads. Raises `ImageError`."""
    base = f"usr/lib/modules/{kernel.release}"
    with tempfile.TemporaryDirectory(prefix="mlab-modules-") as scratch:
        root = Path(scratch) / "lib/modules" / kernel.release
        root.mkdir(parents=True)
        for name in closure(kernel, wanted):
            path, data = kernel.modules[name]
            tree.file(f"{base}/{path}", data)
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        for name, data in kernel.lists.items():
            (root / name).write_bytes(data)
        _depmod(Path(scratch), kernel.release)
        for made in sorted(root.glob("modules.*")):
            tree.file(f"{base}/{made.name}", made.read_bytes())


def _depmod(root: Path, release: str) -> None:
    program = shutil.which("depmod", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        raise ImageError("depmod is not here: install the package kmod, as `make setup` does")
    command = [program, "--basedir", str(root), release]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"depmod {release}: {done.stderr.strip()[:256]}")


def _built_in(kernel: Kernel, wish: str) -> bool:
    listed = kernel.lists.get("modules.builtin", b"").decode()
    return any(module_name(line) == wish for line in listed.splitlines())
