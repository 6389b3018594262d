"""The real boot server on the network of the boot tests, with both listeners, a signed release and boot media.

Firmware and iPXE use port 4430 with one authority, Linux uses 443 with another. Images come out of the platform's boot
bucket, where `mlab apply` put them. What happened is told by the server's own log: one line a request, with the
listener, what TLS was agreed, the peer and the status.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives import serialization
from prometheus_client.parser import text_string_to_metric_families

from node.boot import stage1
from node.images import build, manifest, release
from services.local import programs
from services.local.progress import Silent
from tests import epoxy_service
from tests.boot import authorities
from tests.boot.cluster import BUCKET, Cluster

NAME = "epoxy-boot-api.mlab-sandbox.measurement-lab.test"
VERSION, UPDATE = "v2.1.10", "stage3_update"
ALIAS = "boot.measurement-lab.test"
"""The same server by a name that is not in its certificates."""
WORDS = "console=ttyS0 panic=1 no_timer_check"
"""On a busy machine an emulated timer may miss the kernel's check of it."""
ROM, LINUX = f"https://{NAME}:4430", f"https://{NAME}"


@dataclass(frozen=True, slots=True)
class Trust:
    """The authorities of one test: `rom` for firmware and iPXE, `linux` for everything later."""

    rom: authorities.Authority
    linux: authorities.Authority


class BootServer(epoxy_service.Service):
    """The service with everything a machine needs; `folder` holds media, certificates and log."""

    def __init__(self, folder: Path, address: str, cluster: Cluster) -> None:
        super().__init__(folder)
        self.cluster = cluster
        self.store_url = cluster.store_url
        self._listen = address
        self.trust = Trust(authorities.authority("firmware of the test"), authorities.authority("Linux of the test"))
        self.media = folder / "media"
        self.key = manifest.private_key(None)
        for name, issuer in (("rom", self.trust.rom), ("linux", self.trust.linux)):
            authorities.serving(issuer, NAME, folder / f"{name}.crt", folder / f"{name}.key")
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / "manifest-keys.pem").write_bytes(public)

    def arguments(self) -> list[str]:
        folder = self.directory
        return [
            *super().arguments(),
            *("--public-hostname", NAME, "--storage-prefix-url", self.cluster.bucket),
            *("--storage-token-file", str(self.cluster.bucket_token), "--media", str(self.media)),
            *("--manifest-keys", str(folder / "manifest-keys.pem"), "--stage1-limit", "15"),
            *("--rom-listen", f"{self._listen}:4430", "--linux-listen", f"{self._listen}:443"),
            *("--rom-certificate", str(folder / "rom.crt"), "--rom-key", str(folder / "rom.key")),
            *("--linux-certificate", str(folder / "linux.crt"), "--linux-key", str(folder / "linux.key")),
            *("--operations", str(self.cluster.operations)),
        ]

    def publish(self) -> None:
        """Release what this checkout builds, through the command line and the buckets' reconciler."""
        authority = self.directory / "linux-ca.pem"
        authority.write_bytes(self.trust.linux.pem)
        self.cluster.release(VERSION, "--ca", str(authority), "--kernel-words", WORDS)

    def copy(self, version: str, folder: str) -> str:
        """The release once more at another place of the bucket; that place."""
        source, target = f"{VERSION}/{release.FOLDER}/", f"{version}/{folder}/"
        base = f"/storage/v1/b/{BUCKET}/o"
        for item in self.cluster.objects("GET", base, params={"prefix": source}).json()["items"]:
            name = item["name"].removeprefix(source)
            self.cluster.objects(
                "POST", f"{base}/{_quoted(source + name)}/copyTo/b/{BUCKET}/o/{_quoted(target + name)}"
            )
        return target

    def tamper(self, name: str) -> None:
        """Change the last byte of an object, as somebody can who may write to the bucket."""
        content = self.cluster.objects("GET", f"/storage/v1/b/{BUCKET}/o/{_quoted(name)}?alt=media").content
        changed = content[:-1] + bytes([content[-1] ^ 1])
        query = {"uploadType": "media", "name": name}
        self.cluster.objects("POST", f"/upload/storage/v1/b/{BUCKET}/o", params=query, data=changed)

    def carry(self, machine: stage1.Machine, ipxe: Path) -> None:
        """Boot media of one machine; it powers off where others would wait and start again."""
        folder = self.media / machine.hostname
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ipxe, self.media / "snponly.efi")
        script = stage1.autoexec(machine, ROM, tries=1, first_wait_s=1, last_wait_s=1, after="poweroff")
        (folder / "autoexec.ipxe").write_text(script)

    def register(self, machine: stage1.Machine, *, version: str = VERSION) -> None:
        """The record of a machine, as the reconciler writes it."""

        def sequence(folder: str) -> dict[str, str]:
            base = f"v1/storage/{{{{VERSION}}}}/{folder}"
            return {
                "stage1.ipxe": f"{ROM}/{base}/stage1to2.ipxe",
                "stage1.json": f"{LINUX}/{base}/stage1to2.json",
                "stage2": f"{LINUX}/{base}/stage2to3.json",
                "stage3": f"{LINUX}/{base}/stage3post.json",
            }

        self.create(
            {
                "Name": machine.hostname,
                "IPv4Addr": address(machine),
                "Boot": sequence(release.FOLDER),
                "Update": sequence(UPDATE),
                "ImagesVersion": version,
                "Extensions": [],
                "Retired": False,
                "Protect": False,
                "Owner": None,
            }
        )

    def requests(self, peer: str) -> list[dict[str, Any]]:
        """Every request of one address so far, in order."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == "request" and line["peer"] == peer]

    def asked(self, peer: str, end: str, status: int = 200) -> bool:
        """Whether an address asked for a path with this end and was answered so."""
        return any(line["path"].endswith(end) and line["status"] == status for line in self.requests(peer))

    def counted(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """A counter of the server now, by the values of these labels."""
        text = self.call("GET", "/metrics", token=None).text
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        return {tuple(one.labels[key] for key in labels): one.value for one in samples if one.name == name}

    def boots(self, host: str) -> list[dict[str, Any]]:
        """The boots of a host as the server keeps them, the newest first."""
        answer = self.call("GET", f"/admin/v1/hosts/{host}/history")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["boots"]
        return found

    def observed(self, host: str) -> dict[str, Any]:
        """What the server saw of a host."""
        found: dict[str, Any] = self.call("GET", f"/admin/v1/hosts/{host}").json()["observed"]
        return found


def address(machine: stage1.Machine) -> str:
    """What a machine asks from."""
    assert machine.ipv4 is not None
    return machine.ipv4.address.partition("/")[0]


def _quoted(name: str) -> str:
    return quote(name, safe="")


def built(*names: str) -> dict[str, bytes]:
    """All files of these builds of this checkout, from the cache where they are there."""
    needs = sorted({need for name in names for need in build.TARGETS[name].needs})
    order = build.Order(manifest.private_key(None), programs.build(needs, Silent()) if needs else {})
    found: dict[str, bytes] = {}
    for name in names:
        folder = build.build(name, order, Silent())
        hidden = (manifest.NAME, manifest.SIGNATURE)
        found.update({path.name: path.read_bytes() for path in folder.iterdir() if path.name not in hidden})
    return found
