"""Boot media: what a machine's firmware starts before it can reach the network by itself.

`snponly.efi` is for firmware that boots by HTTPS from its card: it fetches `autoexec.ipxe` from beside itself. The ISO
and the USB image hold iPXE with its own drivers and an `autoexec.ipxe` of fixed size in their file system: a block of
blank lines at first, replaced by a host's script without building anything anew (`configured`).

iPXE comes from a later suite than the rest, since older ones know neither HTTPS nor forms. What does not is refused
here, not on a machine in a rack.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from node.boot import stage1
from node.images import tree as trees
from node.images.errors import ImageError
from node.images.packages import Wanted
from node.images.tree import Tree

WANTED = (Wanted("forky", alone=("ipxe",)),)
NETWORK, ISO, USB = "snponly.efi", "boot.iso", "boot.img"
SCRIPT = "autoexec.ipxe"
FAT_KIB = 4096
_START = 2048
"""First sector of the partition on the USB image: 1 MiB, where all tools expect it."""
_MARK = b"#!ipxe\n# mlab: the script of one host stands here\n"
_NEEDED = (b"HTTPS", b"params")


def build(files: Mapping[str, Path], *, time_s: int) -> dict[str, bytes]:
    """All media by file name. Raises `ImageError`."""
    packages = Tree()
    trees.unpack(files["ipxe"], packages, wanted=lambda path: path.endswith(".efi"))
    network = _ipxe(packages, "snponly.efi")
    own_drivers = _ipxe(packages, "ipxe-amd64.efi")
    with tempfile.TemporaryDirectory(prefix="mlab-media-") as scratch:
        folder = Path(scratch)
        fat = _fat(folder, own_drivers, time_s)
        return {NETWORK: network, ISO: _iso(folder, fat, time_s), USB: _disk(fat)}


def blank() -> bytes:
    """The block that stands in an image of no host."""
    return _MARK + b"\n" * (stage1.BLOCK_BYTES - len(_MARK))


def configured(image: bytes, script: str) -> bytes:
    """An ISO or USB image with the script of one host in it. Raises `ImageError`."""
    at = image.find(_MARK)
    if at < 0 or image[at : at + stage1.BLOCK_BYTES] != blank():
        raise ImageError("the image has no blank block for a script: give one that `mlab images build` made")
    try:
        block = stage1.padded(script)
    except (ValueError, UnicodeEncodeError) as error:
        raise ImageError(f"{SCRIPT}: {error}") from None
    return image[:at] + block + image[at + len(block) :]


def _ipxe(packages: Tree, name: str) -> bytes:
    path = next((path for path in packages if path.endswith(f"/{name}")), None)
    if path is None:
        raise ImageError(f"the package ipxe has no {name}")
    data = packages.read(path)
    missing = [word.decode() for word in _NEEDED if word not in data]
    if missing:
        raise ImageError(f"{name} of the package ipxe was built without {', '.join(missing)}: a node could not boot")
    return data


def _fat(folder: Path, loader: bytes, time_s: int) -> bytes:
    """A FAT file system with the loader where firmware looks for it, and the block beside it."""
    image = folder / "fat.img"
    image.write_bytes(b"\0" * (FAT_KIB * 1024))
    for name, data in (("BOOTX64.EFI", loader), (SCRIPT, blank())):
        (folder / name).write_bytes(data)
        os.utime(folder / name, (time_s, time_s))
    # iPXE reads its script from the folder that it was started from, and from the root.
    _run("mformat", "-i", str(image), "-v", "MLAB", "-N", "4d4c4142", "::", time_s=time_s)
    _run("mmd", "-i", str(image), "::/EFI", "::/EFI/BOOT", time_s=time_s)
    _run("mcopy", "-m", "-i", str(image), str(folder / "BOOTX64.EFI"), "::/EFI/BOOT/BOOTX64.EFI", time_s=time_s)
    _run("mcopy", "-m", "-i", str(image), str(folder / SCRIPT), f"::/{SCRIPT}", time_s=time_s)
    return image.read_bytes()


def _iso(folder: Path, fat: bytes, time_s: int) -> bytes:
    """A CD image that UEFI starts by its El Torito entry."""
    content, made = folder / "iso", folder / "boot.iso"
    content.mkdir()
    (content / "efi.img").write_bytes(fat)
    os.utime(content / "efi.img", (time_s, time_s))
    os.utime(content, (time_s, time_s))
    words = ("-as", "mkisofs", "-quiet", "-V", "MLAB", "-e", "efi.img", "-no-emul-boot", "-o", str(made), str(content))
    _run("xorriso", *words, time_s=time_s)
    return made.read_bytes()


def _disk(fat: bytes) -> bytes:
    """A disk with one EFI system partition in a table of the old kind, which every firmware reads."""
    sectors = len(fat) // 512
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0xEF, b"\xfe\xff\xff", _START, sectors)
    head = b"\0" * 440 + b"MLAB" + b"\0\0" + entry + b"\0" * 48 + b"\x55\xaa"
    return head + b"\0" * ((_START - 1) * 512) + fat


def _run(program: str, *words: str, time_s: int) -> None:
    if shutil.which(program) is None:
        raise ImageError(f"{program} is not here: `make setup` installs the packages mtools and xorriso")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(time_s), "TZ": "UTC", "LC_ALL": "C"}
    done = subprocess.run([program, *words], capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise ImageError(f"{program} {words[0]}: {done.stderr.strip()[-256:]}")
