"""Boots that must fail, or go another way: each is a machine of its own, two run at a time; two begin from media.

A certificate that is not trusted ends a boot in the firmware: no request of that machine reaches a handler. What ends
later is told by the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.boot import stage1
from node.images import media, release
from tests.boot import authorities, server
from tests.boot.conftest import Host
from tests.boot.guest import Guest
from tests.boot.server import BootServer

pytestmark = [pytest.mark.xdist_group("boot"), pytest.mark.timeout(3600)]
GIVEN_UP = ("Error:", "Permission denied")
"""What firmware and iPXE say once they have given up."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was left of a boot: the server's lines of this machine, and its console."""

    requests: list[dict[str, Any]]
    console: str
    failed_handshakes: float
    """Of all machines with the firmware's listener, while this one was on."""


@dataclass(frozen=True, slots=True)
class Lab:
    """What each boot here is given."""

    boots: BootServer
    hosts: tuple[Host, ...]
    folder: Path
    images: dict[str, bytes]

    def watch(self, number: int, until: Callable[[Guest, Host], object], what: str, **guest: Any) -> Seen:
        """Power the machine of this number on and watch it until a condition holds."""
        host = self.hosts[number]
        trusted = guest.pop("trusted", self.boots.trust.rom).signature_list()
        url = guest.pop("url", host.url)
        before = self._failed_handshakes()
        with Guest(self.folder / host.name, host.card, url, trusted, memory_mib=768, **guest) as machine:
            machine.until(lambda: until(machine, host), what)
            failed = self._failed_handshakes() - before
            return Seen(self.boots.requests(host.address), machine.said(), failed)

    def _failed_handshakes(self) -> float:
        counted = self.boots.counted("epoxy_tls_handshakes_failed_total", "listener", "reason")
        return sum(count for (listener, _), count in counted.items() if listener == "rom")


def given_up(machine: Guest, host: Host) -> bool:
    return any(words in machine.said() for words in GIVEN_UP)


def foreign_authority(lab: Lab) -> Seen:
    lab.boots.register(lab.hosts[1].machine)
    return lab.watch(1, given_up, "the firmware gives up", trusted=authorities.authority("somebody else"))


def wrong_name(lab: Lab) -> Seen:
    lab.boots.register(lab.hosts[2].machine)
    url = lab.hosts[2].url.replace(server.NAME, server.ALIAS)
    return lab.watch(2, given_up, "the firmware gives up", url=url)


def expired(lab: Lab) -> Seen:
    lab.boots.register(lab.hosts[3].machine)
    return lab.watch(3, given_up, "the firmware gives up", rtc="2035-01-01")


def unknown_host(lab: Lab) -> Seen:
    return lab.watch(4, given_up, "the firmware gives up")


def tampered(lab: Lab) -> Seen:
    """One byte of the initramfs differs from what was signed."""
    name = "stage1_initramfs.cpio.gz"
    lab.boots.tamper(lab.boots.copy("v2.1.9", release.FOLDER) + name)
    lab.boots.register(lab.hosts[5].machine, version="v2.1.9")

    def refused(machine: Guest, host: Host) -> bool:
        return any(line["path"].endswith(f"/{name}") and "refused" in line for line in lab.boots.requests(host.address))

    return lab.watch(5, refused, "the changed file is refused")


def update(lab: Lab) -> Seen:
    """The next boot is another one."""
    lab.boots.copy(server.VERSION, server.UPDATE)
    host = lab.hosts[6]
    lab.boots.register(host.machine)
    order = {"sequence": "update", "version": "", "expires_in_s": 3600, "until_success": False}
    answer = lab.boots.call("PUT", f"/admin/v1/hosts/{host.name}/next-boot", json=order)
    assert answer.status_code == 200, answer.text

    def other_way(machine: Guest, host: Host) -> bool:
        return lab.boots.asked(host.address, f"/{server.UPDATE}/stage1to2.ipxe")

    return lab.watch(6, other_way, "the update's script is fetched")


def _from_medium(lab: Lab, number: int, name: str) -> Seen:
    """Firmware that finds a medium and knows of no URL; the host's script is in the image."""
    host = lab.hosts[number]
    lab.boots.register(host.machine)
    script = stage1.autoexec(host.machine, server.ROM, tries=1, first_wait_s=1, last_wait_s=1, after="poweroff")
    path = lab.folder / f"{number}-{name}"
    path.write_bytes(media.configured(lab.images[name], script))

    def started(machine: Guest, host: Host) -> bool:
        return lab.boots.asked(host.address, "/stage2to3.json")

    return lab.watch(number, started, "the small system runs and asks for what follows", url="", medium=path)


def from_a_cd(lab: Lab) -> Seen:
    return _from_medium(lab, 8, media.ISO)


def from_a_stick(lab: Lab) -> Seen:
    return _from_medium(lab, 9, media.USB)


def dead_and_back(lab: Lab) -> Seen:
    """The server dies when the small system was fetched, and comes back when that has asked in vain."""
    lab.boots.register(lab.hosts[7].machine)
    died: list[bool] = []

    def back(machine: Guest, host: Host) -> bool:
        if not died and lab.boots.asked(host.address, "/settings.cpio.gz"):
            lab.boots.kill()
            died.append(True)
        if len(died) == 1 and "no connection" in machine.said():
            lab.boots.start()
            died.append(True)
        return lab.boots.asked(host.address, "/stage2to3.json")

    return lab.watch(7, back, "the machine goes on")


SCENES = (foreign_authority, wrong_name, expired, unknown_host, tampered, update, from_a_cd, from_a_stick)


@pytest.fixture(scope="module")
def lab(
    boots: BootServer, hosts: tuple[Host, ...], images: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Lab:
    return Lab(boots, hosts, tmp_path_factory.mktemp("refused"), images)


@pytest.fixture(scope="module")
def seen(lab: Lab) -> Iterator[dict[str, Future[Seen]]]:
    """All of them, two at a time; the one that takes the server away comes last and alone."""
    with ThreadPoolExecutor(2) as threads:
        running = {scene.__name__: threads.submit(scene, lab) for scene in SCENES}
        yield running


@pytest.mark.parametrize("scene", ["foreign_authority", "wrong_name", "expired"])
def test_a_certificate_that_is_not_trusted_ends_the_boot(seen: dict[str, Future[Seen]], scene: str) -> None:
    found = seen[scene].result()
    assert not [line for line in found.requests if line["method"] == "POST"], found.requests
    # No firmware asks anything of whom it does not trust; one that takes any date leaves that check to iPXE.
    assert scene == "expired" or not found.requests
    assert found.failed_handshakes >= 1, "and the server saw it"


def test_a_machine_without_a_record_gets_nothing(seen: dict[str, Future[Seen]]) -> None:
    found = seen["unknown_host"].result()
    assert found.requests and {line["status"] for line in found.requests} == {404}


def test_an_image_that_was_changed_is_not_given_out(seen: dict[str, Future[Seen]]) -> None:
    found = seen["tampered"].result()
    refused = [line for line in found.requests if "refused" in line]
    assert {(line["refused"], line.get("broken")) for line in refused} == {("image-tampered", True)}
    assert not any(line["path"].endswith("/stage2") for line in found.requests)


def test_the_update_that_was_ordered_is_booted(seen: dict[str, Future[Seen]], lab: Lab) -> None:
    found = seen["update"].result()
    assert not any(f"/{release.FOLDER}/" in line["path"] for line in found.requests)
    newest = lab.boots.boots(lab.hosts[6].name)[0]
    assert (newest["sequence"], newest["why"]) == ("update", "next boot was set by an administrator"), newest


@pytest.mark.parametrize("scene", ["from_a_cd", "from_a_stick"])
def test_a_machine_boots_from_a_medium_that_holds_its_script(seen: dict[str, Future[Seen]], scene: str) -> None:
    found = seen[scene].result()
    names = [line["path"].rpartition("/")[2] for line in found.requests]
    assert not {"snponly.efi", "autoexec.ipxe"} & set(names), "what the medium holds is not asked for"
    assert names[0] == "stage1.ipxe" and names.index("stage1_kernel.vmlinuz") < names.index("stage2")
    assert not [line for line in found.requests if line["status"] >= 400], found.requests


def test_a_machine_goes_on_when_its_server_comes_back(seen: dict[str, Future[Seen]], lab: Lab) -> None:
    for running in seen.values():
        running.result()
    found = dead_and_back(lab)
    posted = [line for line in found.requests if line["method"] == "POST"]
    assert not [line for line in posted if line["status"] >= 400], posted
    stages = [line["path"].rpartition("/")[2] for line in posted]
    # A server that comes back between a vain question and its report is told of the vain one.
    asked = [stage for stage in stages if stage != "report"]
    assert asked == ["stage1.ipxe", "stage2"], "the boot that was begun goes on; no second one begins"
