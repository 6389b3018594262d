"""What the kernel could not say and the disk would not take: connections end all the same, and nothing is lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import prometheus_client
import pytest

from node.tcpinfo import addresses, connections, files, meters, netlink, reader, recorder
from tests import waiting
from tests.tcpinfo.conftest import Start

Inside = Callable[..., "subprocess.Popen[str]"]
TRAFFIC = str(Path(__file__).with_name("traffic.py"))


class Deaf(netlink.Destroyed):
    """Announcements that the kernel could not queue."""

    def drain(self) -> list[bytes]:
        self.overflows += len(super().drain())
        return []


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        taken, _ = server.accept()
        yield client, taken
        client.close()
        taken.close()


def recording(folder: Path, lines: list[bytes]) -> tuple[recorder.Recorder, meters.Meters]:
    """A recorder that this process polls by itself, and what it counts; its events go to `lines`."""
    count = meters.Meters(prometheus_client.CollectorRegistry())
    of = connections.Connections(
        "a_1", addresses.Excluded(), files.Folder(folder, count.files.inc), count, lines.extend, None
    )
    return recorder.Recorder(recorder.Pace(0.01, 0), of, count, None, False), count


def test_a_connection_whose_end_was_not_announced_ends_when_the_polls_of_a_second_lack_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    monkeypatch.setattr(addresses, "_internal", lambda _: False)
    monkeypatch.setattr(netlink, "Destroyed", Deaf)
    lines: list[bytes] = []
    work, count = recording(tmp_path, lines)
    work.poll()
    client, taken = pair
    cookies = {int.from_bytes(end.getsockopt(socket.SOL_SOCKET, 57, 8), "little") for end in pair}
    client.sendall(bytes(777))
    taken.recv(777)
    work.poll()
    client.close()
    taken.close()

    def closed() -> set[int]:
        ended = {json.loads(line)["UUID"] for line in lines if json.loads(line)["Event"] == 1}
        return {cookie for cookie in cookies if f"a_1_{cookie:016X}" in ended}

    work.poll()
    assert closed() == set()
    began = time.monotonic()

    def polled() -> set[int]:
        work.poll()
        return closed()

    waiting.until(lambda: polled() == cookies, "both ends end")
    assert time.monotonic() - began > 0.9
    assert count.finals.labels("poll")._value.get() >= 2
    assert work.finish() == 0
    seen = [list(reader.snapshots(path)) for path in tmp_path.rglob(f"a_1_{min(cookies):016X}.*")]
    assert [snapshots[-1].state == reader.CLOSED for snapshots in seen] == [False]


def test_what_the_kernel_keeps_of_a_closed_socket_while_its_peer_goes_on_is_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    monkeypatch.setattr(addresses, "_internal", lambda _: False)
    lines: list[bytes] = []
    work, _ = recording(tmp_path, lines)
    work.poll()
    client, taken = pair
    name = f"a_1_{int.from_bytes(client.getsockopt(socket.SOL_SOCKET, 57, 8), 'little'):016X}"
    client.close()

    def told() -> list[int]:
        work.poll()
        events = [json.loads(line) for line in lines]
        return [event["Event"] for event in events if event["UUID"] == name]

    waiting.until(lambda: told() == [0, 1], "the end of the closed socket is heard", told=told)
    assert taken.recv(1) == b""
    assert [told() for _ in range(3)] == [[0, 1]] * 3
    assert work.finish() == 0
    (path,) = tmp_path.rglob(f"{name}.*")
    assert list(reader.snapshots(path))[-1].state == reader.CLOSED


def test_what_the_kernel_cannot_queue_is_counted_and_what_comes_later_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "DESTROYED_BUFFER_BYTES", 1)
    heard = netlink.Destroyed()

    def many(number: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            for _ in range(number):
                with socket.create_connection(server.getsockname()), server.accept()[0]:
                    pass

    many(200)
    waiting.until(lambda: (heard.drain(), heard.overflows)[1], "the kernel's queue overflows")
    found: list[bytes] = []

    def again() -> bool:
        many(1)
        found.extend(heard.drain())
        return bool(found)

    waiting.until(again, "something is heard again")
    assert netlink.destroyed(found[0]) is not None
    heard.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB where the program writes."""
    folder = tmp_path / "spool"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_when_the_disk_is_full_files_wait_until_there_is_room(small_disk: Path, start: Start, inside: Inside) -> None:
    program = start()
    traffic = inside(TRAFFIC, "0", "200", "1")
    assert traffic.stdin is not None and traffic.stdout is not None
    assert [traffic.stdout.readline() for _ in range(2)] == ["idle\n", "made\n"]
    traffic.stdin.write("\n")
    traffic.stdin.flush()
    counted = {int(cookie) for cookie in json.loads(traffic.stdout.readline())}
    program.until("tcpinfo_file_errors_total", "", 1)
    assert len(program.files()) < len(counted)
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    waiting.until(lambda: len(program.files()) >= len(counted), "every connection has its file", told=program.files)
    program.stop()
    found = program.snapshots()
    assert found.keys() == counted
    assert {snapshots[-1].state for snapshots in found.values()} == {reader.CLOSED}
    assert not list(small_disk.rglob(".*"))


def test_a_disk_that_stays_full_is_said_at_the_end(small_disk: Path, start: Start, inside: Inside) -> None:
    program = start()
    traffic = inside(TRAFFIC, "0", "200", "1")
    assert traffic.stdout is not None
    assert [traffic.stdout.readline() for _ in range(2)] == ["idle\n", "made\n"]
    program.until("tcpinfo_file_errors_total", "", 1)
    program.process.terminate()
    assert program.process.wait(120) == 1
    assert "files could not be written" in program.log.read_text()
    assert os.path.ismount(small_disk)
