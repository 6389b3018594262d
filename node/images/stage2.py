"""The small system that fetches the large one: a kernel and an initramfs with our Python client and `kexec`.

Everything in the initramfs is there because a program needs it: libraries by the programs' own ELF headers, Python
files by what the client imports, kernel modules by name. Its whole size counts twice, once on the wire and once in
memory, before a machine can do anything.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

from node.images import cpio, elf, kernel, python_files
from node.images import tree as trees
from node.images.kernel import Kernel
from node.images.packages import Wanted
from node.images.tree import Tree

SUITE = "bookworm"
WANTED = (
    Wanted(
        SUITE,
        closed=(*python_files.PACKAGES, "kexec-tools", "busybox", "ca-certificates"),
        newest_of=(kernel.META,),
    ),
)
KERNEL, INITRAMFS = "stage1_kernel.vmlinuz", "stage1_initramfs.cpio.gz"
"""Names of the public platform: the documents of a release name them."""
MAX_INITRAMFS_BYTES = 12_000_000

MODULES = (
    # Cards of virtual machines, then those that stand in racks.
    *("virtio_pci", "virtio_net", "virtio_rng"),
    *("mlx4_core", "mlx4_en", "mlx5_core", "e1000e", "igb", "ixgbe", "i40e", "tg3", "bnxt_en"),
    # The BMC, to store its password.
    *("ipmi_si", "ipmi_devintf"),
)
BUSYBOX = "usr/bin/busybox"
PROGRAMS = ("usr/sbin/kexec",)
APPLETS = (
    *(
        "sh",
        "mount",
        "umount",
        "mkdir",
        "cat",
        "find",
        "xargs",
        "sort",
        "modprobe",
        "insmod",
        "lsmod",
        "ip",
        "ls",
        "ps",
    ),
    *("dmesg", "reboot", "poweroff", "sleep", "grep", "sed", "vi", "ping", "nslookup", "hostname", "date"),
)
PROGRAM_MODULES = ("node.boot.stage2",)

INIT = """\
#!/bin/sh
# The first process: what the kernel offers is mounted, the cards' drivers are loaded, then the client takes over.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid dev /dev
mkdir -p /dev/pts /run
mount -t tmpfs -o nosuid,nodev,mode=0755 run /run
# A bus shows its devices only once its own driver is there.
for pass in 1 2; do
  find /sys/devices -name modalias -exec cat {} + | sort -u | xargs -r modprobe -aq 2> /dev/null
done
exec /usr/bin/python3 -I -S -m node.boot.stage2
"""


def build(files: Mapping[str, Path], source: Path, *, time_s: int) -> dict[str, bytes]:
    """Kernel and initramfs from the files of the packages; `source` holds our programs. Raises `ImageError`."""
    linux, packages = kernel.apart(files, lambda path: not path.startswith(("usr/share/doc/", "usr/share/man/")))
    tree = initramfs(packages, linux, source)
    packed = gzip.compress(cpio.archive(tree, time_s=time_s, devices=True), 9, mtime=0)
    return {KERNEL: linux.image, INITRAMFS: packed}


def initramfs(packages: Tree, linux: Kernel, source: Path) -> Tree:
    """The files of the initramfs."""
    tree = Tree()
    trees.merge_usr(tree)
    for folder in ("dev", "proc", "sys", "run", "root", "etc/mlab"):
        tree.folder(folder)
    tree.folder("tmp", 0o1777)
    compiled, extensions = python_files.collect(packages, PROGRAM_MODULES, source)
    elf.copy(packages, tree, (python_files.INTERPRETER, *extensions, *PROGRAMS, BUSYBOX))
    for name, data in compiled.items():
        tree.file(f"{python_files.LIBRARY}/{name}", data)
    tree.link("usr/bin/python3", "python3.11")
    for applet in APPLETS:
        tree.link(f"usr/bin/{applet}", "busybox")
    # The kernel itself calls this very path.
    tree.link("usr/sbin/modprobe", "../bin/busybox")
    python_files.certificates(packages, tree)
    tree.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    tree.file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    tree.file("init", INIT, 0o755)
    kernel.install(linux, MODULES, tree)
    return tree
