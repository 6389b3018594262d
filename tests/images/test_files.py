"""Trees, archives, libraries, modules: the same input gives the same bytes, and nothing that is needed is missing."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from pathlib import Path

import pytest

from node.images import containers, cpio, elf, kernel, programs, wheels
from node.images import tree as trees
from node.images.errors import ImageError
from node.images.kernel import Kernel
from node.images.tree import Tree

TIME_S = 1_767_225_600


def sample(*, backwards: bool = False) -> Tree:
    tree = Tree()
    steps = [
        lambda: tree.file("usr/bin/tool", b"program", 0o755),
        lambda: tree.link("bin", "usr/bin"),
        lambda: tree.folder("tmp", 0o1777),
        lambda: tree.file("etc/name", "value\n"),
    ]
    for step in reversed(steps) if backwards else steps:
        step()
    return tree


def read_cpio(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and content by name, by the format's own description."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        start = at + (110 + fields[11] + 3) // 4 * 4
        if name == cpio.TRAILER:
            return found
        found[name] = (fields[1], data[start : start + fields[6]])
        at = start + (fields[6] + 3) // 4 * 4


def test_a_tree_and_its_archive_hold_the_same() -> None:
    data = cpio.archive(sample(), time_s=TIME_S, devices=True)
    found = read_cpio(data)
    assert found["usr/bin/tool"] == (stat.S_IFREG | 0o755, b"program")
    assert found["bin"] == (stat.S_IFLNK | 0o777, b"usr/bin") and found["tmp"][0] == stat.S_IFDIR | 0o1777
    assert stat.S_ISCHR(found["dev/console"][0]) and len(data) % 512 == 0
    assert list(found)[:-1] == sorted(found.keys() - {"dev/console"}), "a folder must come before what is in it"


@pytest.mark.parametrize("form", [cpio.archive, containers.tar])
def test_the_order_of_additions_does_not_show(form: object) -> None:
    assert callable(form)
    assert form(sample(), time_s=TIME_S) == form(sample(backwards=True), time_s=TIME_S)


def test_links_are_followed_wherever_they_stand() -> None:
    tree = sample()
    tree.link("usr/lib/alias", "../bin/tool")
    tree.link("absolute", "/usr/lib/alias")
    assert tree.resolve("bin/tool") == tree.resolve("absolute") == "usr/bin/tool"
    tree.link("loop", "loop")
    with pytest.raises(ImageError, match="/loop"):
        tree.read("loop")


def test_a_package_of_the_old_layout_lands_below_usr() -> None:
    assert trees.merged("./bin/sh") == "usr/bin/sh" and trees.merged("./lib64/ld.so") == "usr/lib64/ld.so"
    assert trees.merged("./etc/passwd") == "etc/passwd" and trees.merged("./") == ""


def test_a_program_comes_with_its_libraries_and_their_libraries(small_packages: dict[str, Path]) -> None:
    packages, image = Tree(), Tree()
    trees.merge_usr(packages)
    for path in small_packages.values():
        trees.unpack(path, packages)
    elf.copy(packages, image, ["usr/lib/python3.11/lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so"])
    names = {path.rpartition("/")[2] for path in image}
    assert {"libssl.so.3", "libcrypto.so.3", "libc.so.6", "ld-linux-x86-64.so.2"} <= names
    packages.remove(lambda path: "libcrypto" in path)
    with pytest.raises(ImageError, match=r"needs libcrypto\.so\.3"):
        elf.copy(packages, Tree(), ["usr/lib/x86_64-linux-gnu/libssl.so.3"])


def linux(**depends: str) -> Kernel:
    modules = {
        name: (f"kernel/net/{name}.ko", b"\0license=GPL\0depends=" + text.encode() + b"\0")
        for name, text in depends.items()
    }
    return Kernel("6.1.0-1-amd64", b"", modules, {"modules.builtin": b"kernel/fs/built-in-one.ko\n"})


def test_modules_bring_what_they_depend_on() -> None:
    found = kernel.closure(linux(bridge="stp,llc", stp="llc", llc="", other=""), ["bridge"])
    assert found == ("bridge", "llc", "stp")
    assert kernel.closure(linux(a="", b=""), ["net/"]) == ("a", "b")
    assert kernel.closure(linux(), ["built_in_one"]) == ()


@pytest.mark.parametrize(("wish", "said"), [("gone", "no module gone"), ("needy", "depends on absent")])
def test_a_module_that_cannot_be_had_ends_the_build(wish: str, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        kernel.closure(linux(needy="absent"), [wish])


def test_a_container_image_is_a_layout_whose_digests_hold(small_packages: dict[str, Path]) -> None:
    data = programs.small(small_packages, time_s=TIME_S)["canary"]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        blobs = {member.name: archive.extractfile(member).read() for member in files}  # type: ignore[union-attr]
    index = json.loads(blobs["index.json"])
    (entry,) = index["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/measurementlab/canary:v1"

    def blob(digest: str) -> bytes:
        found = blobs[f"blobs/sha256/{digest.partition(':')[2]}"]
        assert hashlib.sha256(found).hexdigest() == digest.partition(":")[2]
        return found

    manifest = json.loads(blob(entry["digest"]))
    config = json.loads(blob(manifest["config"]["digest"]))
    assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"]) == 1
    for layer in manifest["layers"]:
        assert layer["size"] == len(blob(layer["digest"]))


LOCK = """\
# made by pip-compile
asked==1.0 \\
    --hash=sha256:aa
    # via mlab (pyproject.toml)
beneath==2.0 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via
    #   asked
    #   other
deeper==3.0 \\
    --hash=sha256:dd
    # via beneath
other==4.0 \\
    --hash=sha256:ee
    # via mlab (pyproject.toml)
"""


def test_locked_packages_bring_what_they_need_and_nobody_else() -> None:
    found = wheels.closure(LOCK, ["asked"])
    assert list(found) == ["asked", "beneath", "deeper"]
    assert [line.split()[0] for line in found["beneath"].splitlines()[:3]] == [
        "beneath==2.0",
        "--hash=sha256:bb",
        "--hash=sha256:cc",
    ]
    with pytest.raises(ImageError, match=r"requirements\.lock: no package absent"):
        wheels.closure(LOCK, ["asked", "absent"])
