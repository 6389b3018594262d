"""`mlab images build`: the same bytes twice, a manifest that vouches for them, one line where it cannot be done."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from node.boot import actions, stage1
from node.images import manifest, stage2
from node.images import media as boot_media
from node.images.errors import ImageError
from tests import fleets
from tests.images.conftest import document, images

NIGHTLY = bool(os.environ.get("MLAB_NIGHTLY"))
TARGETS = ("boot-media", "oci", "stage2", *(("stage3",) if NIGHTLY else ()))
NETWORK = stage1.Network("198.18.1.178/28", "198.18.1.177", "198.18.1.177")
RELEASE = ("--out", "/nonexistent", "--storage-url", "http://x", "--cluster-ca", "/dev/null")
MACHINE = stage1.Machine("mlab1-lga1t.mlab-sandbox.measurement-lab.test", "mlab-sandbox", NETWORK)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("target", TARGETS)
def test_two_builds_in_two_folders_are_the_same_bytes(target: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        document("build", target, "--anew", "--out", str(folder))
    first, second = ({path.name: path.read_bytes() for path in (folder / target).iterdir()} for folder in folders)
    assert first.keys() == second.keys() and {manifest.NAME, manifest.SIGNATURE} < first.keys()
    differing = [name for name in first if first[name] != second[name]]
    assert not differing
    packages = json.loads(first[manifest.NAME])["packages"]
    assert packages and all(package["version"] and len(package["sha256"]) == 64 for package in packages)
    if target == "stage2":
        assert len(first[stage2.INITRAMFS]) < stage2.MAX_INITRAMFS_BYTES


@pytest.mark.timeout(1800)
def test_a_release_is_one_signed_folder_that_names_every_file_with_its_hash(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----\nof a test\n-----END CERTIFICATE-----\n")
    storage = "https://epoxy-boot-api.mlab-sandbox.measurement-lab.test/v1/storage"
    words = ("--storage-url", storage, "--cluster-ca", str(authority), "--ca", str(authority), "--out", str(tmp_path))
    document("release", "v2.1.10", *words)
    folder = tmp_path / "v2.1.10" / "stage3_ubuntu"
    files = {file.name: file for file in manifest.verify(folder, manifest.private_key(None).public_key())}
    assert {*actions.IMAGES, actions.SETTINGS, "stage1to2.ipxe", "stage2to3.json", "stage3post.json"} < files.keys()
    told = json.loads((folder / "stage2to3.json").read_bytes())["v1"]["files"]
    assert {file["url"].rpartition("/")[2]: file["sha256"] for file in told.values()} == {
        name: files[name].sha256 for name in (actions.LARGE_KERNEL, actions.LARGE_INITRAMFS, actions.SETTINGS)
    }


def test_a_file_or_a_manifest_that_was_changed_is_found(media: Path) -> None:
    key = manifest.private_key(None).public_key()
    manifest.verify(media, key)
    script, signed = media / "snponly.efi", media / manifest.NAME
    for path in (script, signed):
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(ImageError, match=path.name):
            manifest.verify(media, key)
        path.write_bytes(before)
    with pytest.raises(ImageError, match="not signed by ed25519:"):
        manifest.verify(media, ed25519.Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(("name", "offset"), [("boot.img", 1 << 20), ("boot.iso", None)])
def test_a_host_gets_its_medium_without_a_build(media: Path, tmp_path: Path, name: str, offset: int | None) -> None:
    script = stage1.autoexec(MACHINE, "https://epoxy-boot-api.mlab-sandbox.measurement-lab.test:4430")
    made = tmp_path / name
    blank = (media / name).read_bytes()
    made.write_bytes(boot_media.configured(blank, script))
    assert len(made.read_bytes()) == len(blank)
    fat = f"{made}@@{offset if offset is not None else blank.index(b'MLAB       FAT') // 2048 * 2048}"
    read = subprocess.run(["mtype", "-i", fat, "::/autoexec.ipxe"], capture_output=True, check=True).stdout
    assert read.decode().rstrip("\n") == script.rstrip("\n")
    loader = subprocess.run(["mdir", "-b", "-i", fat, "::/EFI/BOOT"], capture_output=True, text=True, check=True).stdout
    assert "BOOTX64.EFI" in loader
    with pytest.raises(ImageError, match="no blank block"):
        boot_media.configured(made.read_bytes(), script)


def test_media_of_a_machine_say_its_addresses_and_whom_it_asks(media: Path, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path / "fleet")
    out = tmp_path / "out"
    done = images("media", "--root", str(root), "--project", "mlab-sandbox", "--out", str(out))
    assert done.returncode == 0, done.stderr
    name = "mlab1-lga1t.mlab-sandbox.measurement-lab.test"
    script = (out / name / "autoexec.ipxe").read_text()
    assert "set ipv4_address 198.18.1.179" in script and "set ipv4_gateway 198.18.1.177" in script
    assert "https://epoxy-boot-api.mlab-sandbox.measurement-lab.test:4430/v1/boot/${hostname}/stage1.ipxe" in script
    assert (out / name / "boot.iso").read_bytes() == boot_media.configured((media / "boot.iso").read_bytes(), script)
    assert done.stdout.splitlines() == [str(out / name / file) for file in ("autoexec.ipxe", "boot.iso", "boot.img")]


def test_a_script_longer_than_its_block_is_refused(media: Path) -> None:
    with pytest.raises(ImageError, match="8192"):
        boot_media.configured((media / "boot.img").read_bytes(), "#!ipxe\n" + "# long\n" * 2000)


@pytest.mark.parametrize(
    ("words", "variables", "status", "said"),
    [
        (("build", "floppy"), {}, 1, "floppy: no such image; there are stage2, stage3, boot-media, oci"),
        (("build", "boot-media"), {"SOURCE_DATE_EPOCH": "12"}, 4, "SOURCE_DATE_EPOCH=12: must be a time from 1980 on"),
        (("build", "boot-media", "--key", "/dev/null"), {}, 4, "/dev/null: no private key in PEM form"),
        (("release", "latest", *RELEASE), {}, 1, "latest: a release is named like v2.1.10"),
        (("release", "v2.1.10", *RELEASE), {}, 1, "--storage-url http://x: must be the https URL"),
    ],
)
def test_what_cannot_be_built_is_one_line(
    words: tuple[str, ...], variables: dict[str, str], status: int, said: str
) -> None:
    done = images(*words, **variables)
    assert done.returncode == status and said in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr and not done.stdout
