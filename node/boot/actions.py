"""The action documents of our own images: what iPXE, stage 2 and stage 3 are told to do. Pure.

A release has them beside its files, in `VERSION/stage3_ubuntu/` of the bucket that ePoxy's storage proxy serves:

    stage1to2.ipxe, stage1to2.json   start the small system: from iPXE, or by kexec from a Linux on a medium
    stage2to3.json                   the small system fetches the large one and changes to it
    stage3post.json                  the large system joins the cluster
    cluster-ca.crt, kubelet.json     what joining needs of this environment: no secret, and not in the images

Every file is named with its SHA-256, so that a document which came over TLS vouches for what it names.
`settings.cpio.gz` is optional: a small archive of what one environment adds to both systems (its authorities), put
behind each initramfs; compressed, because a plain archive there would have to start at a multiple of four bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FOLDER = "stage3_ubuntu"
SMALL_KERNEL, SMALL_INITRAMFS = "stage1_kernel.vmlinuz", "stage1_initramfs.cpio.gz"
LARGE_KERNEL, LARGE_INITRAMFS = "stage3_kernel_ubuntu.vmlinuz", "stage3_initramfs_ubuntu.cpio.gz"
SETTINGS = "settings.cpio.gz"
CA, KUBELET = "cluster-ca.crt", "kubelet.json"
IMAGES = (SMALL_KERNEL, SMALL_INITRAMFS, LARGE_KERNEL, LARGE_INITRAMFS)
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TRIES = 20

_FIXED = "net.ifnames=0 autoconf=0"
_CARRIED = ("ip", "ipv4", "ipv6", "interface", "hostname", "server", "project", "images_version")
_STAGE2 = ("stage2", "stage3", "report", "allocate_k8s_token", "bmc_store_password")
_STAGE3 = ("stage3", "report", "allocate_k8s_token")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Cluster(NamedTuple):
    """What the machines of one environment need to know of their cluster. `donated` names sites by their code."""

    ca_pem: bytes
    kubelet: Mapping[str, Any]
    donated: Sequence[str] = ()


class Release(NamedTuple):
    """Where a release is served, the SHA-256 of its files by name, and words for both kernels (`console=ttyS0`)."""

    storage_url: str
    sha256: Mapping[str, str]
    kernel_words: str = ""


def documents(release: Release, cluster: Cluster) -> dict[str, bytes]:
    """All documents and the cluster's two files, by name. Raises ValueError where a file's hash is missing."""
    for name in (*IMAGES, *(name for name in release.sha256 if name == SETTINGS)):
        if not _SHA256.fullmatch(release.sha256.get(name, "")):
            raise ValueError(f"{name}: no SHA-256 in lower case hexadecimal given for it")
    files = {CA: cluster.ca_pem, KUBELET: _json(cluster.kubelet)}
    hashes = {**release.sha256, **{name: hashlib.sha256(body).hexdigest() for name, body in files.items()}}
    full = release._replace(sha256=hashes)
    return {
        "stage1to2.ipxe": stage1to2_ipxe(release).encode("ascii"),
        "stage1to2.json": _json(_kexec(full, SMALL_KERNEL, SMALL_INITRAMFS, _STAGE2)),
        "stage2to3.json": _json(_kexec(full, LARGE_KERNEL, LARGE_INITRAMFS, _STAGE3)),
        "stage3post.json": _json(_join(full, cluster)),
        **files,
    }


def stage1to2_ipxe(release: Release) -> str:
    """The script that iPXE fetches after stage 1: kernel and initramfs from its own folder, then the command line."""
    loads = [_load("kernel", f"kernel {SMALL_KERNEL} ${{kargs}}"), _load("initramfs", f"initrd {SMALL_INITRAMFS}")]
    if SETTINGS in release.sha256:
        loads.append(_load("settings", f"initrd {SETTINGS}"))
    # The variables are set by the stage1 script and by the host's own one; an unknown one is empty.
    words = {
        "epoxy.ip": "${net0/ip}::${net0/gateway}:${net0/netmask}:${hostname}:${interface}:off:"
        "${ipv4_dns1}:${ipv4_dns2}",
        "epoxy.ipv4": "${ipv4_address}/${ipv4_subnet},${ipv4_gateway},${ipv4_dns1},${ipv4_dns2}",
        "epoxy.ipv6": "${kernel_ipv6}",
        "epoxy.interface": "${interface}",
        "epoxy.hostname": "${hostname}",
        **{f"epoxy.{name}": f"${{{name}_url}}" for name in _STAGE2},
        "epoxy.server": "${epoxyaddress}",
        "epoxy.project": "${project}",
        "epoxy.images_version": "${images_version}",
    }
    sets = "\n".join(f"set kargs ${{kargs}} {key}={value}" for key, value in words.items())
    return f"""#!ipxe

isset ${{interface}} || set interface eth0
set kernel_ipv6
iseq ${{ipv6_enabled}} true || goto without_ipv6
set kernel_ipv6 ${{ipv6_address}}/${{ipv6_subnet}},${{ipv6_gateway}},${{ipv6_dns1}},${{ipv6_dns2}}
:without_ipv6
set kargs {f"{_FIXED} {release.kernel_words}".strip()}
{sets}
{"".join(loads)}
boot

:failed
echo ePoxy: files of this release could not be loaded
sleep 10
reboot
"""


def _load(label: str, command: str) -> str:
    """Fetch one file, with growing waits between tries."""
    return f"""
set tries:int32 0
:{label}
{command} && goto {label}_done ||
inc tries
iseq ${{tries}} {TRIES} && goto failed ||
echo ePoxy: {label} failed, try ${{tries}} of {TRIES}
sleep ${{tries}}
goto {label}
:{label}_done
"""


def _kexec(release: Release, kernel: str, initramfs: str, secret: Sequence[str]) -> dict[str, Any]:
    """Fetch a kernel and its initramfs, and change to it with the command line that the next stage needs."""
    words = [f"epoxy.{name}={{{{kargs `epoxy.{name}`}}}}" for name in (*_CARRIED, *secret)]
    files = {"initramfs": _file(release, initramfs), "kernel": _file(release, kernel)}
    commands: list[Any] = []
    if SETTINGS in release.sha256:
        files["settings"] = _file(release, SETTINGS)
        append = 'cat "$1" >> "$0"'
        commands.append(["sh", "-c", append, "{{.files.initramfs.name}}", "{{.files.settings.name}}"])
    commands += [
        "# No second check of the segments: their hash was checked when they came, and this saves seconds.",
        [
            *("kexec", "-c", "--no-checks", "--load", "{{.files.kernel.name}}"),
            *("--initrd={{.files.initramfs.name}}", "--command-line={{.vars.words}} {{.vars.fixed}}"),
        ],
        ["kexec", "--exec"],
    ]
    fixed = f"{_FIXED} {release.kernel_words}".strip()
    return {
        "v1": {"vars": {"words": words, "fixed": fixed}, "files": files, "env": {"PATH": PATH}, "commands": commands}
    }


def _join(release: Release, cluster: Cluster) -> dict[str, Any]:
    command = [
        *("python3", "-I", "-S", "-m", "node.boot.join"),
        *("--ca={{.files.ca.name}}", "--kubelet={{.files.kubelet.name}}", "--donated={{.vars.donated}}"),
    ]
    files = {"ca": _file(release, CA), "kubelet": _file(release, KUBELET)}
    donated = " ".join(sorted(cluster.donated))
    return {"v1": {"vars": {"donated": donated}, "files": files, "env": {"PATH": PATH}, "commands": [command]}}


def _file(release: Release, name: str) -> dict[str, str]:
    folder = f"{release.storage_url.rstrip('/')}/{{{{kargs `epoxy.images_version`}}}}/{FOLDER}"
    return {"url": f"{folder}/{name}", "sha256": release.sha256[name]}


def kubelet() -> dict[str, Any]:
    """The kubelet's configuration on our images; an environment may change it before it is published."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}},
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "systemd",
        "containerLogMaxSize": "100Mi",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "nodeStatusUpdateFrequency": "20s",
        "podPidsLimit": 10000,
        "resolvConf": "/etc/resolv.conf",
        "rotateCertificates": True,
    }


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=4).encode("ascii") + b"\n"
