"""The system that a node runs, in memory: Debian with systemd, containerd, kubelet, nftables and our programs.

It is one initramfs. A small part in front mounts what comes behind it, a squashfs of the root, under a layer of memory
and goes there. No maintainer script of a package is run: the few things that they would have done are done here, so
that nothing but the packages decides what is in the image. Nothing is written to a disk by the image itself.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from node.images import cpio, elf, kernel, python_files, stage2
from node.images import tree as trees
from node.images.errors import ImageError
from node.images.kernel import Kernel
from node.images.packages import Wanted
from node.images.tree import Tree

SUITE = "bookworm"
WANTED = (
    Wanted(
        SUITE,
        closed=(
            *(
                "base-files",
                "base-passwd",
                "bash",
                "dash",
                "coreutils",
                "findutils",
                "grep",
                "sed",
                "util-linux",
                "mount",
            ),
            *("systemd", "systemd-sysv", "udev", "kmod", "procps", "iproute2", "iputils-ping", "ethtool"),
            # 1.6 is the oldest containerd that this kubelet takes; a kubelet of 1.37 wants that of a later suite.
            *("containerd", "runc", "containernetworking-plugins", "nftables", "iptables", "conntrack"),
            *(*python_files.PACKAGES, "ca-certificates", "busybox-static"),
        ),
        newest_of=(kernel.META,),
    ),
)
KERNEL, INITRAMFS = "stage3_kernel_ubuntu.vmlinuz", "stage3_initramfs_ubuntu.cpio.gz"
"""Names of the public platform: the documents of a release name them."""
PLUGINS = "opt/cni/bin"
"""Where containerd looks for network plug-ins, and where workloads such as flannel put theirs."""

BEFORE_ROOT = ("loop", "squashfs", "overlay")
MODULES = (
    *stage2.MODULES,
    *BEFORE_ROOT,
    *("veth", "bridge", "br_netfilter", "ipvlan", "macvlan", "vxlan", "dummy", "ifb", "tun", "wireguard", "bonding"),
    *("nf_conntrack", "nft_compat", "nft_ct", "nft_limit", "nft_log", "nft_masq", "nft_nat", "nft_reject_inet"),
    *("nft_chain_nat", "xt_comment", "xt_mark", "xt_conntrack", "xt_MASQUERADE", "xt_nat", "xt_tcpudp", "xt_addrtype"),
    *("tcp_bbr", "sch_fq", "sch_htb", "sch_tbf", "sch_netem", "cls_u32", "inet_diag", "tcp_diag"),
    *("xfs", "ext4", "vfat", "nls_ascii", "nls_cp437", "efivarfs"),
    *("nvme", "ahci", "sd_mod", "megaraid_sas", "mpt3sas", "virtio_blk"),
    *("usbhid", "hid_generic", "xhci_pci", "ehci_pci"),
)
PROGRAM_MODULES = ("node.boot.stage3", "node.boot.join", "node.boot.epoxy_client")
PLUGIN_MODULES = ("ctypes", "json", "posixpath", "subprocess")
"""What our network plug-ins, which are single files, import."""
_UNWANTED = (
    *("usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/share/lintian/"),
    *(
        "usr/share/bash-completion/",
        "usr/share/zsh/",
        "usr/share/bug/",
        "usr/share/common-licenses/",
        "usr/share/perl5/",
    ),
    *("usr/share/i18n/", "usr/lib/udev/hwdb.d/", "usr/lib/systemd/boot/", "usr/share/debconf/", "usr/share/python3/"),
    *("usr/lib/python3/", "usr/lib/valgrind/", "usr/include/", "usr/share/pixmaps/", "boot/", "var/lib/dpkg/"),
    # Perl comes with the tools that make certificates; nothing here is written in it.
    *("usr/share/perl/", "usr/lib/x86_64-linux-gnu/perl", "usr/lib/x86_64-linux-gnu/libperl", "usr/bin/perl"),
    *("usr/bin/containerd-stress", "usr/bin/containerd-shim-runc-v1", "usr/lib/x86_64-linux-gnu/gconv/"),
    *(f"usr/lib/cni/{name}" for name in ("dhcp", "firewall", "bandwidth", "vrf", "sbr", "host-device", "vlan")),
)
# Nobody can log in; without the message bus the last one would only fail, again and again.
_MASKED = (
    *("getty.target", "getty-static.service", "systemd-user-sessions.service"),
    *("systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-logind.service"),
)
INIT = """\
#!/bin/sh
# Mount the root that lies behind this archive, with a layer of memory on top, and go there.
export PATH=/usr/bin
mkdir -p /proc /sys /dev /lower /layer /root
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs dev /dev
modprobe -a loop squashfs overlay
mount -t squashfs -o ro,loop /rootfs.squashfs /lower &&
mount -t tmpfs -o mode=0755,size=60% layer /layer && mkdir /layer/upper /layer/work &&
mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work root /root || exec reboot -f
# What was put behind the image for one environment, such as its authorities.
[ ! -d /etc ] || cp -a /etc/. /root/etc/
umount /proc /sys && mount --move /dev /root/dev
exec switch_root /root /sbin/init
"""
_APPLETS = ("sh", "mount", "umount", "mkdir", "modprobe", "cp", "reboot", "switch_root", "[")


def build(
    files: Mapping[str, Path], source: Path, kubelet: bytes, containers: Mapping[str, bytes], *, time_s: int
) -> dict[str, bytes]:
    """Kernel and image; `containers` are archives of container images by name. Raises `ImageError`."""
    linux, packages = kernel.apart(files, _wanted)
    front = gzip.compress(cpio.archive(_front(packages, linux), time_s=time_s, devices=True), 9, mtime=0)
    behind = Tree()
    behind.file("rootfs.squashfs", squashfs(_root(packages, linux, source, kubelet, containers), time_s=time_s))
    # A cpio archive starts on a border of four bytes, also behind a compressed one.
    padded = front + b"\0" * (-len(front) % 512)
    return {KERNEL: linux.image, INITRAMFS: padded + cpio.archive(behind, time_s=time_s)}


def _wanted(path: str) -> bool:
    # The oldest kind of shim, whose name the newer ones begin with.
    return not path.startswith(_UNWANTED) and path != "usr/bin/containerd-shim"


def _front(packages: Tree, linux: Kernel) -> Tree:
    tree = Tree()
    trees.merge_usr(tree)
    elf.copy(packages, tree, ("usr/bin/busybox",))
    for applet in _APPLETS:
        tree.link(f"usr/bin/{applet}", "busybox")
    tree.folder("dev")
    tree.file("init", INIT, 0o755)
    kernel.install(linux, BEFORE_ROOT, tree)
    return tree


def _root(packages: Tree, linux: Kernel, source: Path, kubelet: bytes, containers: Mapping[str, bytes]) -> Tree:
    """The packages' files, ours, and what maintainer scripts would have made."""
    tree = packages
    compiled, extensions = python_files.collect(packages, (*PROGRAM_MODULES, *PLUGIN_MODULES), source)
    kept = frozenset(extensions)
    tree.remove(lambda path: path.startswith(f"{python_files.LIBRARY}/") and path not in kept)
    for name, data in compiled.items():
        tree.file(f"{python_files.LIBRARY}/{name}", data)
    tree.link("usr/bin/python3", "python3.11")
    python_files.certificates(packages, tree)
    tree.remove(lambda path: path.startswith("usr/share/ca-certificates/"))
    tree.file("usr/bin/kubelet", kubelet, 0o755)
    for name, archive in sorted(containers.items()):
        tree.file(f"usr/share/mlab/images/{name}.tar", archive)
    kernel.install(linux, MODULES, tree)
    _accounts(tree)
    for path in sorted((source / "node/images/root").rglob("*")):
        if path.is_file() and path.name != "__init__.py":
            name = str(path.relative_to(source / "node/images/root"))
            tree.file(name, path.read_bytes(), 0o755 if path.read_bytes().startswith(b"#!") else 0o644)
    _plugins(tree, source)
    _links(tree)
    return tree


def _plugins(tree: Tree, source: Path) -> None:
    """The folder of network plug-ins: Debian's, ours, and room for those that workloads of the cluster bring."""
    for path in [path for path in tree if path.startswith("usr/lib/cni/")]:
        tree.link(f"{PLUGINS}/{path.rpartition('/')[2]}", f"/{path}")
    for program in sorted((source / "node/cni").iterdir()):
        if program.is_file():
            tree.file(f"{PLUGINS}/{program.name}", program.read_bytes(), 0o755)


def _accounts(tree: Tree) -> None:
    """Users and groups: the system's basic ones, and those that systemd and udev ask for. Nobody may log in."""
    base = "usr/share/base-passwd"
    groups = ("systemd-journal:x:990:", "input:x:991:", "kvm:x:992:", "render:x:993:", "sgx:x:994:")
    users = tree.read(f"{base}/passwd.master").decode().replace("root:*:", "root:x:", 1)
    tree.file("etc/passwd", users)
    tree.file("etc/group", tree.read(f"{base}/group.master").decode().replace("*", "x") + "\n".join(groups) + "\n")
    tree.file("etc/shadow", "".join(f"{line.partition(':')[0]}:*:::::::\n" for line in users.splitlines()), 0o600)


def _links(tree: Tree) -> None:
    tree.link("usr/bin/sh", "dash")
    for name in ("iptables", "ip6tables"):
        for end in ("", "-save", "-restore"):
            tree.link(f"usr/sbin/{name}{end}", "xtables-nft-multi")
    tree.link("etc/os-release", "../usr/lib/os-release")
    tree.link("etc/mtab", "../proc/self/mounts")
    tree.link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    tree.link("etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
    wants = "etc/systemd/system/multi-user.target.wants"
    for unit in ("mlab-join.service", "mlab-images.service", "containerd.service"):
        home = "/lib/systemd/system" if unit == "containerd.service" else "/etc/systemd/system"
        tree.link(f"{wants}/{unit}", f"{home}/{unit}")
    for unit in _MASKED:
        tree.link(f"etc/systemd/system/{unit}", "/dev/null")
    for folder in ("proc", "sys", "dev", "run", "mnt", "var/lib/kubelet", "var/lib/containerd", "var/log", "etc/mlab"):
        tree.folder(folder)
    tree.folder("tmp", 0o1777)
    tree.folder("root", 0o700)
    # Empty: each boot is a machine of its own.
    tree.file("etc/machine-id", "")


def squashfs(tree: Tree, *, time_s: int) -> bytes:
    """The tree as a compressed, read-only file system; the same tree gives the same bytes. Raises `ImageError`."""
    program = shutil.which("mksquashfs")
    if program is None:
        raise ImageError("mksquashfs is not here: install the package squashfs-tools, as `make setup` does")
    with tempfile.TemporaryDirectory(prefix="mlab-root-") as scratch:
        root, made = Path(scratch) / "root", Path(scratch) / "root.squashfs"
        _write(tree, root)
        times = ("-mkfs-time", str(time_s), "-all-time", str(time_s))
        same = ("-noappend", "-no-progress", "-no-xattrs", "-no-exports", "-all-root", "-reproducible", *times)
        command = [program, str(root), str(made), *same, "-comp", "zstd", "-Xcompression-level", "9"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ImageError(f"mksquashfs: {done.stderr.strip()[-256:]}")
        return made.read_bytes()


def _write(tree: Tree, root: Path) -> None:
    folders = []
    root.mkdir()
    for path in tree:
        entry, place = tree.entries[path], root / path
        if entry.is_folder:
            place.mkdir(parents=True, exist_ok=True)
            folders.append((place, entry.permissions))
        elif entry.is_link:
            place.symlink_to(entry.data.decode())
        else:
            place.write_bytes(entry.data)
            place.chmod(entry.permissions)
    # Last, so that a folder that nobody may write to can be filled first.
    for place, permissions in reversed(folders):
        place.chmod(permissions)
    root.chmod(0o755)
