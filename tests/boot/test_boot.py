"""A machine boots from its network card and becomes a node that runs a pod; what is asserted is what servers saw."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from node.boot import actions
from node.images import manifest
from services.epoxy import handshakes
from tests.boot import cluster as clusters
from tests.boot.conftest import Host
from tests.boot.guest import Guest
from tests.boot.server import VERSION, BootServer

pytestmark = [pytest.mark.xdist_group("boot"), pytest.mark.timeout(3600)]


@dataclass(slots=True)
class Boot:
    """What was seen of one boot from power-on to a running pod: seconds, and what the cluster showed at its end."""

    times: dict[str, float] = field(default_factory=dict)
    console: str = ""
    boot_id: str = ""
    started_at: Any = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    counted: dict[str, float] = field(default_factory=dict)
    """By how much the server's counters grew."""


def boot(folder: Path, host: Host, boots: BootServer, cluster: clusters.Cluster, before: Boot | None = None) -> Boot:
    """Power on, wait for each step at the servers, pull the plug. `before` is this host's last boot."""
    made, skipped = Boot(), len(boots.requests(host.address))
    old, counted = before or Boot(), counters(boots, host)

    def asked(end: str, status: int = 200) -> bool:
        made.requests = boots.requests(host.address)[skipped:]
        return any(line["path"].endswith(end) and line["status"] == status for line in made.requests)

    def node_is_ready() -> bool:
        node = cluster.node(host.name)
        made.boot_id = node.status.node_info.boot_id if node is not None else ""
        return made.boot_id not in ("", old.boot_id) and clusters.ready(node)

    def pod_runs() -> bool:
        pod = cluster.pod(host.name)
        states = [status.state.running for status in (pod.status.container_statuses or ())] if pod is not None else []
        made.started_at = next((state.started_at for state in states if state is not None), None)
        return made.started_at not in (None, old.started_at)

    with Guest(folder, host.card, host.url, boots.trust.rom.signature_list()) as guest:
        for name, condition, what in (
            ("stage1", lambda: asked("/stage1.ipxe"), "iPXE asks for stage 1"),
            ("stage2", lambda: asked("/stage2"), "the small system asks for stage 2"),
            ("stage3", lambda: asked("/stage3"), "the large system asks for stage 3"),
            ("token", lambda: asked("/extension/allocate_k8s_token"), "the machine gets its token"),
            ("reported", lambda: asked("/report", 204), "the machine reports"),
            ("node Ready", node_is_ready, f"the node {host.name} is Ready"),
            ("pod Running", pod_runs, "the canary's pod runs"),
        ):
            made.times[name] = guest.until(condition, what)
        made.console = guest.said()
    made.counted = {key: value - counted.get(key, 0) for key, value in counters(boots, host).items()}
    return made


def counters(boots: BootServer, host: Host) -> dict[str, float]:
    """What a boot of this host moves, by a short name."""
    stages = {stage: value for (stage,), value in boots.counted("epoxy_stage_transitions_total", "stage").items()}
    machines = boots.counted("epoxy_stage1_total", "machine")
    tokens = boots.counted("epoxy_extension_duration_seconds_count", "operation", "code")
    # One that ran out of time may be another machine's, which was switched off in the middle of it.
    failed = boots.counted("epoxy_tls_handshakes_failed_total", "listener", "reason")
    return {
        **stages,
        "begun": machines.get((host.name,), 0),
        "tokens": tokens.get(("allocate_k8s_token", "200"), 0),
        "succeeded": boots.counted("epoxy_boot_duration_seconds_count")[()],
        "refused": sum(boots.counted("epoxy_refused_total", "route", "reason").values()),
        "handshakes failed": sum(count for (_, why), count in failed.items() if why != handshakes.SLOW),
    }


@pytest.fixture(scope="module")
def first(
    boots: BootServer, cluster: clusters.Cluster, hosts: tuple[Host, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Boot]:
    """One whole boot of the first machine."""
    yield boot(tmp_path_factory.mktemp("first"), hosts[0], boots, cluster)


def told(made: Boot, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the times, on the stream that a worker of a parallel run shares with its terminal."""
    with capsys.disabled():
        print(f"\nboot: {', '.join(f'{name} {at_s:.1f} s' for name, at_s in made.times.items())}", file=sys.stderr)


def test_a_machine_boots_from_its_card_joins_and_runs_a_pod(
    first: Boot, boots: BootServer, hosts: tuple[Host, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    told(first, capsys)
    order = [(line["method"], line["path"].rpartition("/")[2]) for line in first.requests]
    steps = [
        ("HEAD", "snponly.efi"),
        ("GET", "snponly.efi"),
        ("GET", "autoexec.ipxe"),
        ("POST", "stage1.ipxe"),
        ("GET", "stage1to2.ipxe"),
        ("GET", "stage1_kernel.vmlinuz"),
        ("GET", "stage1_initramfs.cpio.gz"),
        ("POST", "stage2"),
        ("GET", "stage2to3.json"),
        ("POST", "stage3"),
        ("GET", "stage3post.json"),
        ("POST", "allocate_k8s_token"),
        ("POST", "report"),
    ]
    places = [order.index(step) for step in steps]
    assert places == sorted(places), order
    assert not [line for line in first.requests if line["status"] >= 400], "something was refused"
    newest = boots.boots(hosts[0].name)[0]
    assert (newest["outcome"], newest["stage"], newest["form"]) == ("success", "done", "ipxe"), newest
    assert newest["images_version"] == VERSION and newest["address"] == hosts[0].address
    assert list(newest["seconds"].values()) == sorted(newest["seconds"].values()), newest
    observed = boots.observed(hosts[0].name)
    assert observed["LastSuccess"] >= observed["LastSessionCreation"] and len(set(observed["CurrentSessionIDs"])) == 4
    assert observed["CollectedInformation"]["mac"] == hosts[0].card.mac


def test_each_step_came_over_its_listener_with_what_its_client_speaks(first: Boot) -> None:
    agreed: dict[str, set[tuple[str, str]]] = {}
    for line in first.requests:
        agreed.setdefault(line["path"].rpartition("/")[2], set()).add((line["listener"], line["tls"]))
    firmware = ("rom", "TLSv1.2 DHE-RSA-AES256-GCM-SHA384")
    ipxe = ("rom", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384")
    # What is quick without AES instructions; the client asks for nothing newer then.
    linux = ("linux", "TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305")
    expected = {
        "snponly.efi": firmware,
        "autoexec.ipxe": ipxe,
        "stage1.ipxe": ipxe,
        "stage1to2.ipxe": ipxe,
        "stage1_initramfs.cpio.gz": ipxe,
        "stage2": linux,
        "stage2to3.json": linux,
        "stage3": linux,
        "allocate_k8s_token": linux,
        "report": linux,
    }
    assert {name: agreed[name] for name in expected} == {name: {pair} for name, pair in expected.items()}


def test_a_boot_is_counted_once_at_each_stage(first: Boot, boots: BootServer, hosts: tuple[Host, ...]) -> None:
    once = ("stage1", "stage2", "stage3", "done", "begun", "tokens", "succeeded")
    assert first.counted == {**dict.fromkeys(once, 1), "refused": 0, "handshakes failed": 0}
    times = {name: boots.counted(f"epoxy_last_{name}", "machine")[(hosts[0].name,)] for name in ("boot", "success")}
    assert 0 < times["boot"] < times["success"]


def test_the_documents_of_a_boot_are_those_that_were_signed(
    first: Boot, boots: BootServer, hosts: tuple[Host, ...], cluster: clusters.Cluster
) -> None:
    folder = cluster.checkout.state / "images" / clusters.ENV / VERSION / actions.FOLDER
    signed = {file.name: file.sha256 for file in manifest.verify(folder, boots.key.public_key())}
    pinned = boots.boots(hosts[0].name)[0]["sha256"]
    documents = {"stage1.ipxe": "stage1to2.ipxe", "stage2": "stage2to3.json", "stage3": "stage3post.json"}
    assert {key: pinned[key] for key in documents} == {key: signed[name] for key, name in documents.items()}


def test_every_file_was_verified_and_no_secret_stands_on_the_console_or_in_a_log(
    first: Boot, boots: BootServer, hosts: tuple[Host, ...]
) -> None:
    for name in ("initramfs", "kernel", "settings", "ca", "kubelet"):
        assert any(f"file {name}:" in line and "sha256 verified" in line for line in first.console.splitlines()), name
    secret = f"/v1/boot/{hosts[0].name}/"
    for text in (first.console, boots.log.read_text()):
        ends = {part.partition("/")[0].partition(" ")[0] for part in text.split(secret)[1:]}
        assert all(end in ("-", "…") or end.startswith("stage1.") for end in ends), ends


def test_the_next_boot_has_sessions_and_a_life_of_its_own(
    first: Boot,
    boots: BootServer,
    cluster: clusters.Cluster,
    hosts: tuple[Host, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids = boots.observed(hosts[0].name)["CurrentSessionIDs"]
    second = boot(tmp_path, hosts[0], boots, cluster, first)
    told(second, capsys)
    again = boots.observed(hosts[0].name)["CurrentSessionIDs"]
    assert not set(ids.values()) & set(again.values())
    assert second.boot_id != first.boot_id and second.started_at > first.started_at
    assert [found["outcome"] for found in boots.boots(hosts[0].name)[:2]] == ["success", "success"]
    assert actions.FOLDER in second.console
