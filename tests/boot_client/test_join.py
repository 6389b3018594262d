"""Joining a cluster: the token is asked for over HTTPS, systemd is a script that writes down what it was asked."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from node.boot import actions, der, join, labels
from node.boot.errors import BadDocument, Usage
from tests.boot_client.authority import Authority
from tests.boot_client.bootserver import Reply, Site, document
from tests.boot_client.conftest import ID

TOKEN = "abcdef.0123456789abcdef"
HOST = "mlab2-lga0t.mlab-sandbox.measurement-lab.test"
PATH = f"/v1/boot/h/{ID}/extension/allocate_k8s_token"


class Node:
    """A machine that may join: its command line, documents, and a folder for its files."""

    def __init__(self, folder: Path, site: Site, authority: Authority) -> None:
        self.root, self.site, self.authority = folder / "root", site, authority
        self.given: dict[str, Any] = {
            "api_address": "api.test:6443",
            "token": TOKEN,
            "ca_hash": "sha256:" + hashlib.sha256(authority.spki).hexdigest(),
        }
        url = site.on("POST", PATH, document(self.given))
        self.cmdline = folder / "cmdline"
        self.cmdline.write_text(
            f"epoxy.hostname={HOST} epoxy.project=mlab-sandbox epoxy.ipv4=192.0.2.22/26,192.0.2.1,, "
            f"epoxy.allocate_k8s_token={url}"
        )
        self.kubelet = folder / "kubelet.json"
        self.kubelet.write_text(json.dumps(actions.kubelet()))
        self.calls = folder / "calls"
        self._bin = folder / "bin"
        self._bin.mkdir()
        self.systemctl('case "$*" in *kubelet*) ln -sf x "$PKI/kubelet-client-2026.pem"; '
                       'touch "$PKI/kubelet-client-current.pem";; esac')  # fmt: skip

    def systemctl(self, script: str) -> None:
        program = self._bin / "systemctl"
        program.write_text(
            f'#!/bin/sh\nPKI={self.root}/var/lib/kubelet/pki; mkdir -p "$PKI"\n'
            f'echo "$@" >> {self.calls}\n'
            f"cat {self.root}/run/mlab/bootstrap.kubeconfig > {self.root}/seen 2>/dev/null\n{script}\n"
        )
        program.chmod(0o755)

    def join(self, *more: str) -> subprocess.CompletedProcess[str]:
        words = [
            *(f"--ca={self.authority.file}", f"--ca-file={self.authority.file}", f"--kubelet={self.kubelet}"),
            *(f"--cmdline={self.cmdline}", f"--root={self.root}", "--donated=abc01 lga0t", "--wait=20", *more),
        ]
        return subprocess.run(
            [sys.executable, "-m", "node.boot.join", *words],
            capture_output=True,
            text=True,
            env={"PATH": f"{self._bin}:/usr/bin:/bin", "EPOXY_TIMES": str(self.root.parent / "times")},
            timeout=60,
            check=False,
        )

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()


@pytest.fixture
def node(tmp_path: Path, site: Site, authority: Authority) -> Node:
    return Node(tmp_path, site, authority)


def test_a_machine_asks_for_a_token_starts_its_kubelet_and_waits_for_the_certificate(node: Node) -> None:
    done = node.join()
    assert done.returncode == 0, done.stdout
    (asked,) = node.site.of("POST", PATH)
    assert asked.body == b"{}"
    assert node.calls.read_text().splitlines() == [
        "start containerd.service mlab-images.service",
        "restart kubelet.service",
    ]
    seen = json.loads(node.read("seen"))
    assert seen["users"][0]["user"] == {"token": TOKEN}
    assert seen["clusters"][0]["cluster"]["server"] == "https://api.test:6443"
    assert node.read(join.PLACES.ca).encode() == node.authority.pem
    config = json.loads(node.read(join.PLACES.config))
    assert config["authentication"]["x509"] == {"clientCAFile": join.PLACES.ca}
    assert config["authentication"]["anonymous"] == {"enabled": False}
    flags = node.read(join.PLACES.environment)
    assert f"--hostname-override={HOST} --node-ip=192.0.2.22 " in flags
    assert TOKEN not in flags
    times = [line.split()[0] for line in (node.root.parent / "times").read_text().splitlines()]
    assert times == ["join.runtime", "join.token", "join.kubelet", "join.certificate"]


def test_the_token_is_gone_after_the_join_and_was_never_printed_or_readable_by_others(node: Node) -> None:
    node.systemctl(f'stat -c %a {node.root}/run/mlab/bootstrap.kubeconfig > {node.root}/mode; '
                   'touch "$PKI/kubelet-client-current.pem"')  # fmt: skip
    done = node.join()
    assert done.returncode == 0
    assert node.read("mode").strip() == "600"
    assert not (node.root / "run/mlab/bootstrap.kubeconfig").exists()
    kept = [path for path in node.root.rglob("*") if path.is_file() and path.name != "seen"]
    assert kept and not any(TOKEN in path.read_text() for path in kept)
    for secret in (TOKEN, TOKEN.split(".")[1], ID):
        assert secret not in done.stdout + done.stderr
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in kept if path.is_relative_to(node.root / "etc"))


def test_a_repeated_join_asks_for_no_second_token_once_the_certificate_is_there(node: Node) -> None:
    assert node.join().returncode == 0
    assert node.join().returncode == 0
    assert len(node.site.of("POST", PATH)) == 1
    assert node.calls.read_text().splitlines()[-1] == "start kubelet.service"


def test_a_kubeconfig_of_an_earlier_try_does_not_take_the_new_tokens_place(node: Node) -> None:
    old = node.root / join.PLACES.kubeconfig.lstrip("/")
    old.parent.mkdir(parents=True)
    old.write_text("old")
    assert node.join().returncode == 0
    assert not old.exists()


def test_a_cluster_with_another_authority_is_not_joined(node: Node, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    done = node.join(f"--ca={other.file}")
    assert done.returncode == 1
    assert "not joining" in done.stdout and "sha256:" in done.stdout
    assert "kubelet" not in node.calls.read_text() and not (node.root / "run").exists()


@pytest.mark.parametrize(
    ("replies", "status", "asked"),
    [
        ([Reply(403, b"Given session ID does not match host record\n")], 3, 1),
        ([Reply(404)], 3, 1),
        ([Reply(302, headers={"Location": "https://127.0.0.1:1/"})], 1, 1),
        ([Reply(502), Reply(503, headers={"Retry-After": "0"}), None], 0, 3),
        ([Reply(200, b'{"token": "hunter2.hunter2"}')], 1, 1),
        ([Reply(200, b"not json")], 1, 1),
    ],
)
def test_what_the_extension_answers_decides(node: Node, replies: list[Reply | None], status: int, asked: int) -> None:
    node.site.on("POST", PATH, *(document(node.given) if reply is None else reply for reply in replies))
    done = node.join()
    assert (done.returncode, len(node.site.of("POST", PATH))) == (status, asked), done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_kubelet_that_gets_no_certificate_fails_with_the_next_step_and_leaves_no_proof(node: Node) -> None:
    node.systemctl("true")
    done = node.join("--wait=1")
    assert done.returncode == 1
    assert "no certificate after 1 s" in done.stdout and "journalctl -u kubelet" in done.stdout


def test_a_unit_that_does_not_start_is_named_with_what_it_says_and_no_token_is_made(node: Node) -> None:
    node.systemctl(
        'case "$1" in status) echo "ctr: no such image: $2"; exit 3;; start) echo "Job failed." >&2; exit 5;; esac'
    )
    done = node.join()
    assert done.returncode == 1
    assert "systemctl start containerd.service mlab-images.service: status 5: Job failed." in done.stdout
    assert "ctr: no such image" in done.stdout
    assert node.site.asked == []


@pytest.mark.parametrize(
    "more",
    [
        ["--nonsense=1"],
        ["--wait=soon"],
        ["--kubelet=/does/not/exist"],
        ["--cmdline=/does/not/exist"],
        ["bare"],
    ],
)
def test_a_wrong_flag_is_a_usage_error_in_one_line(node: Node, more: list[str]) -> None:
    done = node.join(*more)
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""


KARGS = {"epoxy.hostname": HOST, "epoxy.project": "mlab-sandbox", "epoxy.ipv4": "192.0.2.22/26,192.0.2.1,,"}


def test_a_node_registers_with_the_labels_that_workloads_select_by() -> None:
    assert labels.of(KARGS, ["lga0t"]) == {
        "mlab/machine": "mlab2",
        "mlab/site": "lga0t",
        "mlab/metro": "lga",
        "mlab/type": "physical",
        "mlab/project": "mlab-sandbox",
        "mlab/ndt-version": "production",
        "mlab/managed": "switch-machine",
        "mlab/donated": "true",
    }
    assert labels.of(KARGS, [])["mlab/donated"] == "false"


@pytest.mark.parametrize(
    ("ipv4", "managed"),
    [("192.0.2.9/26,g", "switch,machine"), ("192.0.2.9/28,g", "machine"), ("192.0.2.9/29,g", "machine"),
     ("192.0.2.9/24,g", "unknown"), ("", "unknown"), ("x/y", "unknown")],
)  # fmt: skip
def test_the_size_of_the_network_says_what_of_the_site_is_managed(ipv4: str, managed: str) -> None:
    assert labels.managed({"epoxy.ipv4": ipv4}) == managed


@pytest.mark.parametrize(
    "changed", [{"epoxy.hostname": "third-party"}, {"epoxy.project": "a b"}, {"epoxy.hostname": ""}]
)
def test_a_machine_that_cannot_be_labelled_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(Usage):
        labels.of({**KARGS, **changed}, [])


def test_the_hash_of_a_key_is_what_another_library_computes(authority: Authority, tmp_path: Path) -> None:
    leaf = authority.leaf("for-der").read_bytes()
    expected = []
    for certificate in x509.load_pem_x509_certificates(authority.pem + leaf):
        key = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        expected.append("sha256:" + hashlib.sha256(key).hexdigest())
    assert der.key_hashes(authority.pem + leaf) == expected


def test_a_certificate_that_is_cut_anywhere_is_refused(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.pem).public_bytes(serialization.Encoding.DER)
    for size in range(0, len(certificate), 7):
        with pytest.raises(ValueError, match="certificate"):
            der._key(certificate[:size])


@pytest.mark.parametrize("pem", [b"", b"text", b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n"])
def test_what_holds_no_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError, match=r"certificate|base64"):
        der.key_hashes(pem)
    with pytest.raises(BadDocument):
        join.check_authority(pem, "sha256:x")
