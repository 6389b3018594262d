"""The documents of our own images: they name every file with its hash, and the client carries them out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from node.boot import actions, client, cmdline
from tests.boot_client.bootserver import Reply, Site, document, file
from tests.boot_client.conftest import ID, Machine

IMAGES = {name: name.encode() * 500 for name in (*actions.IMAGES, actions.SETTINGS)}
CLUSTER = actions.Cluster(b"-----BEGIN CERTIFICATE-----\n", actions.kubelet(), ("lga0t", "abc01"))
VERSION = "v2.1.10"


def hashes(names: tuple[str, ...] = tuple(IMAGES)) -> dict[str, str]:
    return {name: hashlib.sha256(IMAGES[name]).hexdigest() for name in names}


def release(storage: str, **changes: object) -> actions.Release:
    return actions.Release(storage, hashes(), "console=ttyS0")._replace(**changes)  # type: ignore[arg-type]


@pytest.fixture
def published(site: Site, machine: Machine) -> Site:
    """A server with a whole release, and a machine in the middle of its boot."""
    made = actions.documents(release(site.url("/v1/storage")), CLUSTER)
    for name, body in {**IMAGES, **made}.items():
        site.on("GET", f"/v1/storage/{VERSION}/{actions.FOLDER}/{name}", file(body))
    machine.kargs |= {
        "epoxy.project": "mlab-sandbox",
        "epoxy.images_version": VERSION,
        "epoxy.ipv4": "192.0.2.9/28,192.0.2.1,192.0.2.2,192.0.2.3",
        "epoxy.ipv6": "",
        "epoxy.ip": "192.0.2.9::192.0.2.1:255.255.255.240:h:eth0:off:192.0.2.2:192.0.2.3",
        "epoxy.interface": "eth0",
        "epoxy.server": "s.test:4430",
        "epoxy.bmc_store_password": f"https://s.test/v1/boot/h/{ID}/extension/bmc_store_password",
        "epoxy.allocate_k8s_token": f"https://s.test/v1/boot/h/{ID}/extension/allocate_k8s_token",
        "epoxy.report": site.on("POST", f"/v1/boot/h/{ID}/report", Reply(204)),
    }
    for stage, name in (("stage1", "stage1to2.json"), ("stage2", "stage2to3.json"), ("stage3", "stage3post.json")):
        url = site.url(f"/v1/storage/{VERSION}/{actions.FOLDER}/{name}")
        machine.kargs[f"epoxy.{stage}"] = site.on("POST", f"/v1/boot/h/{ID}/{stage}", document({"v1": {"chain": url}}))
    return site


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for kexec and python3 that write down how they were called, and copy the files that they were given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = f"""#!/bin/sh
for word in "$(basename "$0")" "$@"; do printf '%s\\n' "$word" >> {tmp_path}/calls; done
echo -- >> {tmp_path}/calls
for word; do
  case "$word" in
    --initrd=*) cp "${{word#--initrd=}}" {tmp_path}/initrd;;
    --ca=*) cp "${{word#--ca=}}" {tmp_path}/ca;;
  esac
done
"""
    for name in ("kexec", "python3"):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    monkeypatch.setattr(actions, "PATH", f"{folder}:/usr/bin:/bin")
    return tmp_path


def calls(folder: Path) -> list[list[str]]:
    return [call.splitlines() for call in (folder / "calls").read_text().split("--\n") if call]


@pytest.mark.parametrize(
    ("stage", "kernel", "initramfs", "carried", "dropped"),
    [
        (
            "stage1",
            actions.SMALL_KERNEL,
            actions.SMALL_INITRAMFS,
            {"stage2", "stage3", "bmc_store_password"},
            {"stage1"},
        ),
        ("stage2", actions.LARGE_KERNEL, actions.LARGE_INITRAMFS, {"stage3"}, {"stage2", "bmc_store_password"}),
    ],
)
def test_a_stage_changes_to_the_next_kernel_with_the_keys_that_it_needs(
    programs: Path, published: Site, machine: Machine, stage: str, kernel: str, initramfs: str, carried: set[str],
    dropped: set[str],
) -> None:  # fmt: skip
    assert machine.boot(action=f"epoxy.{stage}") == client.DONE

    load, execute = calls(programs)
    assert load[:4] == ["kexec", "-c", "--no-checks", "--load"] and execute == ["kexec", "--exec"]
    assert (programs / "initrd").read_bytes() == IMAGES[initramfs] + IMAGES[actions.SETTINGS]
    assert len(published.of("GET", f"/v1/storage/{VERSION}/{actions.FOLDER}/{kernel}")) == 1
    line = load[-1].removeprefix("--command-line=")
    assert len(line) <= cmdline.MAX_BYTES
    kargs = cmdline.parse(line)
    always = {"ip", "ipv4", "ipv6", "interface", "hostname", "server", "project", "images_version", "report"}
    for key in always | carried | {"allocate_k8s_token"}:
        assert kargs[f"epoxy.{key}"] == machine.kargs[f"epoxy.{key}"]
    assert not {f"epoxy.{key}" for key in dropped} & set(kargs)
    assert (kargs["net.ifnames"], kargs["autoconf"], kargs["console"]) == ("0", "0", "ttyS0")


def test_stage3_joins_with_the_authority_and_the_configuration_of_its_environment(
    programs: Path, published: Site, machine: Machine
) -> None:
    assert machine.boot(action="epoxy.stage3") == client.DONE
    (call,) = calls(programs)
    assert call[:5] == ["python3", "-I", "-S", "-m", "node.boot.join"]
    assert call[-1] == "--donated=abc01 lga0t"
    assert (programs / "ca").read_bytes() == CLUSTER.ca_pem
    # The token's URL is a secret and stays off the list of processes.
    assert ID not in " ".join(call)


def test_a_file_that_is_not_the_one_that_was_built_stops_the_boot(
    programs: Path, published: Site, machine: Machine
) -> None:
    body = IMAGES[actions.LARGE_INITRAMFS]
    tampered = bytes([body[0] ^ 1]) + body[1:]
    published.on("GET", f"/v1/storage/{VERSION}/{actions.FOLDER}/{actions.LARGE_INITRAMFS}", file(tampered))
    assert machine.boot() == client.FAILED
    assert not (programs / "calls").exists()
    assert "checksum mismatch" in published.of("POST", f"/v1/boot/h/{ID}/report")[0].form["message"]


def test_the_script_for_ipxe_loads_by_relative_names_and_hands_over_every_key() -> None:
    made = actions.documents(release("https://s.test/v1/storage"), CLUSTER)["stage1to2.ipxe"].decode()
    assert f"kernel {actions.SMALL_KERNEL} ${{kargs}} && " in made
    assert (
        made.index("initrd stage1_initramfs.cpio.gz") < made.index("initrd settings.cpio.gz") < made.index("\nboot\n")
    )
    for key in ("stage2", "stage3", "report", "allocate_k8s_token", "bmc_store_password"):
        assert f" epoxy.{key}=${{{key}_url}}\n" in made
    without = {name: value for name, value in hashes().items() if name != actions.SETTINGS}
    bare = actions.documents(release("https://s.test/v1/storage", sha256=without), CLUSTER)
    assert b"settings" not in b"".join(bare.values())


def test_a_release_without_the_hash_of_a_file_is_refused() -> None:
    for wrong in ({}, {actions.LARGE_KERNEL: "A" * 64}):
        with pytest.raises(ValueError, match="SHA-256"):
            actions.documents(release("https://s.test", sha256={**hashes(actions.IMAGES[:2]), **wrong}), CLUSTER)


def test_documents_are_json_with_the_same_bytes_each_time() -> None:
    first, second = (actions.documents(release("https://s.test/v1/storage"), CLUSTER) for _ in range(2))
    assert first == second
    assert all(json.loads(body) for name, body in first.items() if name.endswith(".json"))
