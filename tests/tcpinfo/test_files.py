"""Files of connections: whole, under the right name, once; and what a disk that refuses does to them."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import prometheus_client
import pytest

from node.tcpinfo import addresses, connections, files, meters, reader, records
from tests.tcpinfo.messages import info, message

SECOND = 10**9
START = 1_795_368_559 * SECOND + 204_626_638
DAY = "2026/11/22"
NAME = "ndt-abc12_1795366319_000000000000C963"


@dataclass(slots=True)
class Recording:
    """Connections without a kernel; the time is told by hand."""

    output: Path
    now_ns: int = START
    lines: list[bytes] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    count: meters.Meters = field(default_factory=lambda: meters.Meters(prometheus_client.CollectorRegistry()))
    folder: files.Folder = field(init=False)
    of: connections.Connections = field(init=False)

    def __post_init__(self) -> None:
        self.folder = files.Folder(self.output, self.count.files.inc)
        self.of = connections.Connections(
            "ndt-abc12_1795366319", addresses.Excluded(), self.folder, self.count, self.lines.extend, None
        )

    def see(self, cookie: int, many: int = 1, *, work: bool = True, salt: int = 0) -> None:
        """So many changed snapshots, one a microsecond."""
        for n in range(many):
            self.now_ns += 1000
            content = info({8: (n + salt).to_bytes(4, "little"), 120: self.chance.randbytes(8)})
            self.of.saw([(cookie, message(cookie, {2: content}))], self.now_ns)
            if work:
                self.work()

    def end(self, cookie: int) -> None:
        self.of.ended(cookie, message(cookie, {2: info()}, state=7), self.now_ns)
        self.work()

    def work(self) -> None:
        while self.of.work(self.now_ns):
            pass

    def found(self) -> list[str]:
        """Files, relative, hidden ones too."""
        return sorted(str(path.relative_to(self.output)) for path in self.output.rglob("*") if path.is_file())

    def times(self) -> list[str]:
        """Of all snapshots, over the files in order."""
        return [snapshot.time for name in self.found() for snapshot in reader.snapshots(self.output / name)]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path)


def test_the_lines_are_those_of_the_archive(recording: Recording) -> None:
    recording.now_ns -= 1000
    recording.see(0xC963)
    recording.end(0xC963)
    assert recording.found() == [f"{DAY}/{NAME}.00000.jsonl.zst"]
    plain = subprocess.run(["zstd", "-dc", recording.output / recording.found()[0]], capture_output=True, check=True)
    first, second, third = plain.stdout.decode().splitlines()
    start = "2026-11-22T17:29:19.204626638Z"
    metadata = f'{{"UUID":"{NAME}","Sequence":0,"StartTime":"{start}"}}'
    assert first == f'{{"Timestamp":"0001-01-01T00:00:00Z","Metadata":{metadata}}}'
    value = json.loads(second)
    assert list(value) == ["Timestamp", "RawIDM", "Attributes"]
    assert (value["Timestamp"], len(value["RawIDM"]), value["Attributes"][:2]) == (start, 96, [None, None])
    assert len(value["Attributes"]) == 3
    assert json.loads(third)["RawIDM"].startswith("Agc")  # AF_INET, CLOSE


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (START, "2026-11-22T17:29:19.204626638Z"),
        (1_795_368_559 * SECOND, "2026-11-22T17:29:19Z"),
        (1_795_368_559 * SECOND + 120_000_000, "2026-11-22T17:29:19.12Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
    ],
)
def test_times_have_nanoseconds_without_trailing_zeros(ns: int, text: str) -> None:
    assert records.timestamp(ns) == text


@pytest.mark.parametrize("many", [1, 300])
def test_a_file_is_one_frame_with_a_checksum(recording: Recording, many: int) -> None:
    recording.see(0xC963, many)
    recording.end(0xC963)
    (name,) = recording.found()
    listed = subprocess.run(["zstd", "-lv", recording.output / name], capture_output=True, text=True, check=True).stdout
    assert "# Zstandard Frames: 1\n" in listed
    assert "Check: XXH64" in listed
    assert len(recording.times()) == many + 1
    assert recording.folder.compressors == 0


def test_a_long_connection_is_hidden_until_it_is_whole(recording: Recording) -> None:
    recording.see(0xC963, 100)
    assert recording.found() == [f"{DAY}/.{NAME}.00000.jsonl.zst"]
    recording.end(0xC963)
    assert recording.found() == [f"{DAY}/{NAME}.00000.jsonl.zst"]


def test_who_watches_sees_one_file_appear_while_it_is_open_and_close_once(recording: Recording) -> None:
    recording.see(1)
    with _Order() as order:
        recording.end(1)
    assert order.calls == ["open", "write", "rename", "close"]


class _Order:
    """The system calls of a file, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> _Order:
        for name in ("open", "write", "rename", "close"):
            self._patch.setattr(f"node.tcpinfo.files.os.{name}", self._noting(name, getattr(os, name)))
        return self

    def _noting(self, name: str, call: object) -> object:
        def noted(*words: object, **more: object) -> object:
            self.calls.append(name)
            return call(*words, **more)  # type: ignore[operator]

        return noted

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def test_an_existing_file_is_never_replaced(recording: Recording) -> None:
    day = recording.output / DAY
    day.mkdir(parents=True)
    (day / f"{NAME}.00000.jsonl.zst").write_bytes(b"of an earlier run")
    (day / f".{NAME}.00001.jsonl.zst").write_bytes(b"being written by another")
    recording.see(0xC963, 100)
    recording.end(0xC963)
    assert recording.found() == [f"{DAY}/.{NAME}.00001.jsonl.zst", *(f"{DAY}/{NAME}.0000{n}.jsonl.zst" for n in (0, 2))]
    metadata, _ = reader.read(day / f"{NAME}.00002.jsonl.zst")
    assert metadata.sequence == 2
    assert (day / f"{NAME}.00000.jsonl.zst").read_bytes() == b"of an earlier run"


def test_files_are_ended_by_the_clock_also_when_nothing_more_happens(recording: Recording) -> None:
    recording.see(0xC963)
    recording.now_ns += connections.IDLE_NS - SECOND
    recording.of.sweep(recording.now_ns)
    recording.work()
    assert recording.found() == []
    recording.now_ns += SECOND
    recording.of.sweep(recording.now_ns)
    recording.work()
    assert recording.found() == [f"{DAY}/{NAME}.00000.jsonl.zst"]
    recording.now_ns += 7 * 3600 * SECOND  # after midnight
    for _ in range(11):
        recording.see(0xC963)
        recording.now_ns += 60 * SECOND
        recording.of.sweep(recording.now_ns)
        recording.work()
    recording.end(0xC963)
    names = recording.found()
    assert names == [f"{DAY}/{NAME}.00000.jsonl.zst", *(f"2026/11/23/{NAME}.0000{n}.jsonl.zst" for n in (1, 2))]
    heads = [reader.read(recording.output / name)[0] for name in names]
    assert {head.start_time for head in heads} == {records.timestamp(START + 1000)}
    assert [head.sequence for head in heads] == [0, 1, 2]
    assert len(recording.times()) == 13


def test_without_a_compressor_a_connection_takes_several_files(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "COMPRESSORS", 1)
    for n in range(200):
        recording.see(1, salt=n)
        recording.see(2, salt=n)
    assert recording.folder.compressors == 1
    recording.end(1)
    recording.end(2)
    by_connection = [sum(f"{cookie:016X}" in name for name in recording.found()) for cookie in (1, 2)]
    assert by_connection[0] == 1 and by_connection[1] > 1
    assert len(recording.times()) == 402


class Refusal:
    """A system call that fails so many times, then works."""

    def __init__(self, name: str, times: int, *, part: bool = False) -> None:
        self.name, self.left, self._part = name, times, part
        self._call = getattr(os, name)

    def __call__(self, *words: object) -> object:
        if self.left:
            self.left -= 1
            if self._part and self.left:
                descriptor, data = words
                return self._call(descriptor, data[: len(data) // 2])  # type: ignore[index,arg-type]
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._call(*words)


@pytest.mark.parametrize("many", [1, 100])
@pytest.mark.parametrize("name", ["open", "write", "rename"])
@pytest.mark.parametrize("part", [False, True])
def test_what_the_disk_refuses_is_tried_again_and_nothing_is_lost_or_doubled(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, name: str, many: int, part: bool
) -> None:
    monkeypatch.setattr(f"node.tcpinfo.files.os.{name}", Refusal(name, 3, part=part and name == "write"))
    recording.see(1, many)
    recording.end(1)
    for _ in range(6):
        recording.now_ns += 2 * SECOND
        recording.see(2)
        recording.work()
    recording.end(2)
    assert recording.of.finish_all() == 0
    assert [name.rpartition("/")[2][0] for name in recording.found()] == ["n", "n"]
    assert len(recording.times()) == many + 1 + 7
    assert recording.count.file_errors._value.get() > 0


def test_a_folder_that_somebody_removed_is_made_again(recording: Recording) -> None:
    recording.see(1)
    recording.end(1)
    recording.see(2)
    for path in sorted(recording.output.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    recording.end(2)
    assert len(recording.found()) == 1


def test_a_file_in_the_place_of_a_folder_is_a_refusal_like_any_other(recording: Recording) -> None:
    (recording.output / "2026").write_text("")
    recording.see(1)
    recording.end(1)
    recording.see(2, 100)
    recording.end(2)
    assert recording.of.finish_all() == 2
    (recording.output / "2026").unlink()
    assert recording.of.finish_all() == 0
    assert len(recording.times()) == 2 + 101


def test_when_the_disk_refuses_for_long_memory_stays_bounded_and_the_end_is_kept(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Refusal("open", 10**9)
    monkeypatch.setattr("node.tcpinfo.files.os.open", refusal)
    recording.see(1, 4000)
    dropped = recording.count.dropped._value.get()
    assert dropped > 1000
    refusal.left = 0
    recording.now_ns += 2 * SECOND
    recording.end(1)
    snapshots = [s for name in recording.found() for s in reader.snapshots(recording.output / name)]
    assert len(snapshots) == 4001 - dropped
    assert snapshots[-1].state == reader.CLOSED


@pytest.fixture
def killed(recording: Recording) -> Iterator[Path]:
    """What a run that was killed leaves of a connection of 100 snapshots."""
    recording.see(0xC963, 100)
    (name,) = recording.found()
    yield recording.output / name


def test_a_file_of_a_killed_run_is_finished_with_all_whole_lines(killed: Path, recording: Recording) -> None:
    assert list(files.leftovers(recording.output)) == [killed]
    assert files.recover(killed) > 80
    assert recording.found() == [f"{DAY}/{NAME}.00000.jsonl.zst"]
    assert recording.times() == sorted(recording.times())


def test_cut_anywhere_such_a_file_is_recovered_or_gone(killed: Path, recording: Recording) -> None:
    whole = killed.read_bytes()
    kept = set()
    for size in range(0, len(whole), 97):
        killed.write_bytes(whole[:size])
        count = files.recover(killed)
        names = recording.found()
        assert len(names) == (count > 1)
        for name in names:
            kept.add(len(list(reader.snapshots(recording.output / name))))
            (recording.output / name).unlink()
    assert len(kept) >= 2


def test_rates_do_not_go_backwards_when_the_kernel_clears_an_aborted_socket(recording: Recording) -> None:
    recording.of.saw([(1, message(1, {2: info({200: (500).to_bytes(8, "little"), 128: b"\7"})}))], START)
    recording.end(1)
    assert (recording.of.sent_bytes, recording.of.received_bytes) == (500, 7)


def test_a_connection_that_was_never_polled_opens_and_closes(recording: Recording) -> None:
    recording.end(0xC963)
    assert [json.loads(line)["Event"] for line in recording.lines] == [0, 1]
    assert len(recording.times()) == 1


def test_a_socket_that_is_used_again_for_another_connection_is_judged_again(recording: Recording) -> None:
    inside = message(1, destination="127.0.0.1")
    recording.of.saw([(1, inside), (1, inside)], START)
    assert len(recording.of) == 0
    recording.of.saw([(1, message(1))], START)
    assert len(recording.of) == 1
