"""The real program: what it counts of what happens in folders of dates."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from node.inotify_exporter import __main__ as program
from node.inotify_exporter import meters
from tests import waiting
from tests.watch import writer

ROOT = Path(__file__).parents[2]
LIMIT_S = 120
DAY = "2026/11/25"


@dataclass(slots=True)
class Exporter:
    """The running program, and the folder that it watches."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    @property
    def port(self) -> int:
        return int(self.log.read_text().rpartition("metrics on port ")[2].split()[0])

    def metrics(self) -> dict[tuple[str, str], float]:
        """By name and value of the label."""
        body = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=60).text
        return {
            (
                sample.name.removeprefix("inotify_").removeprefix("extension_"),
                "".join(sample.labels.values()),
            ): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }

    def counts(self) -> dict[tuple[str, str], float]:
        """The three counters of extensions."""
        return {
            key: value for key, value in self.metrics().items() if key[0] in ("create_total", "delete_total", CLOSED)
        }

    def until(self, holds: Callable[[], bool]) -> None:
        waiting.until(
            holds,
            "what the test counts on",
            process=self.process,
            told=lambda: f"{self.log.read_text()[-2000:]}\n{self.metrics()}",
        )


CLOSED = "closewrite_total"


def watched_day(exporter: Exporter) -> Path:
    """A folder of a day that is watched already."""
    day = exporter.folder / DAY
    day.mkdir(parents=True)
    exporter.until(lambda: exporter.metrics()["watched_directories", str(exporter.folder)] == 4)
    return day


Start = Callable[..., Exporter]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the program on a folder; it watches when this returns."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, folder: Path = tmp_path / "spool") -> Exporter:
        log = tmp_path / "log"
        command = [sys.executable, "-m", "node.inotify_exporter", f"--path={folder}"]
        with log.open("w") as file:
            process = subprocess.Popen(
                [*command, "-prometheusx.listen-address=127.0.0.1:0", *words], cwd=ROOT, stderr=file
            )
        started.append(process)
        made = Exporter(process, folder, log)
        waiting.until(lambda: "metrics on port" in log.read_text(), "it starts", process=process, told=log.read_text)
        if folder.exists():
            made.until(lambda: made.metrics()["watched_directories", str(folder)] > 0)
        return made

    (tmp_path / "spool").mkdir()
    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_files_are_counted_by_what_happened_and_extension(start: Start) -> None:
    day = watched_day(exporter := start())
    for name in ("one.s2c_snaplog", "two.s2c_snaplog.gz", "none", "two.json"):
        (day / name).write_bytes(b"1234")
    (day / "moved.json").write_bytes(b"1")
    (day / "two.json").unlink()
    (day / "none").open("ab").close()
    (exporter.folder / "2026" / "of-no-day.json").write_bytes(b"1")
    (exporter.folder / "other").mkdir()
    (exporter.folder / "other" / "20261125.json").write_bytes(b"1")
    (day / "directory.d").mkdir()
    (day / "directory.d").rmdir()
    (day / "last").write_bytes(b"1")
    exporter.until(lambda: exporter.metrics().get((CLOSED, "")) == 3)
    assert exporter.counts() == {
        ("create_total", ".s2c_snaplog"): 1,
        (CLOSED, ".s2c_snaplog"): 1,
        ("create_total", ".s2c_snaplog.gz"): 1,
        (CLOSED, ".s2c_snaplog.gz"): 1,
        ("create_total", ""): 2,
        (CLOSED, ""): 3,
        ("create_total", ".json"): 2,
        (CLOSED, ".json"): 2,
        ("delete_total", ".json"): 1,
    }
    assert f"closewrite {exporter.folder} b'{DAY}/last'" in exporter.log.read_text()


def test_every_file_in_new_directories_is_counted_once(start: Start) -> None:
    exporter = start("-log-events=false")
    writer.main(str(exporter.folder), 400, 5)
    exporter.until(lambda: exporter.metrics().get((CLOSED, ""), 0) >= 2000)
    (exporter.folder / "2020" / "01" / "01" / "last.end").write_bytes(b"1")
    exporter.until(lambda: (CLOSED, ".end") in exporter.metrics())
    assert exporter.counts()["create_total", ""] == exporter.counts()[CLOSED, ""] == 2000


def test_what_was_there_before_the_start_is_not_counted_but_known_as_the_newest(start: Start, tmp_path: Path) -> None:
    day = tmp_path / "spool" / DAY
    day.mkdir(parents=True)
    (day / "old.json").write_bytes(b"12345")
    os.utime(day / "old.json", (1000, 1000))
    exporter = start()
    where = str(exporter.folder)
    exporter.until(lambda: exporter.metrics()["newest_file_bytes", where] == 5)
    seen = exporter.metrics()
    assert seen["newest_file_timestamp_seconds", where] == 1000
    assert seen["newest_file_age_seconds", where] == pytest.approx(time.time() - 1000, abs=60)
    assert exporter.counts() == {}
    (day / "new.json").write_bytes(b"123")
    exporter.until(lambda: exporter.metrics()["newest_file_bytes", where] == 3)
    assert 0 <= exporter.metrics()["newest_file_age_seconds", where] < 60


def test_extensions_beyond_the_bound_share_one_series(start: Start) -> None:
    exporter = start("-max-extensions=3")
    day = exporter.folder / DAY
    day.mkdir(parents=True)
    for number in range(20):
        (day / f"file.{number}").write_bytes(b"1")
    (day / f"file.{'x' * 40}").write_bytes(b"1")
    exporter.until(lambda: exporter.metrics().get((CLOSED, meters.OTHER), 0) == 18)
    assert len(exporter.counts()) == 2 * 4


def test_a_folder_that_is_absent_is_said_once_and_watched_when_it_is_there(start: Start, tmp_path: Path) -> None:
    late = tmp_path / "late"
    exporter = start(f"--path={tmp_path / 'spool'}", folder=late)
    seen = exporter.metrics()
    assert seen["watched_directories", str(late)] == 0
    assert math.isnan(seen["newest_file_age_seconds", str(late)])
    late.mkdir()
    exporter.until(lambda: exporter.metrics()["watched_directories", str(late)] == 1)
    (late / DAY).mkdir(parents=True)
    (late / DAY / "x.json").write_bytes(b"1")
    (tmp_path / "spool" / DAY).mkdir(parents=True)
    (tmp_path / "spool" / DAY / "x.json").write_bytes(b"1")
    exporter.until(lambda: exporter.metrics().get((CLOSED, ".json")) == 2)
    assert exporter.log.read_text().count("late: cannot be watched: No such file or directory") == 1


def test_dropped_events_are_counted(start: Start) -> None:
    day = watched_day(exporter := start())
    # Stopped, it cannot empty the kernel's queue.
    exporter.process.send_signal(signal.SIGSTOP)
    for turn in range(40_000):
        os.close(os.open(day / f"{turn % 2}", os.O_CREAT | os.O_WRONLY))
    exporter.process.send_signal(signal.SIGCONT)
    exporter.until(lambda: exporter.metrics()["overflows_total", str(exporter.folder)] == 1)
    (day / "after.json").write_bytes(b"1")
    exporter.until(lambda: exporter.metrics().get((CLOSED, ".json")) == 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once(start: Start, number: signal.Signals) -> None:
    exporter = start()
    exporter.process.send_signal(number)
    assert exporter.process.wait(LIMIT_S) == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 1, "-path is not given; name at least one folder"),
        (["--path=/tmp", "-max-extensions=-1"], 1, "-max-extensions -1 is negative"),
        (["--path=/tmp", "-prometheusx.listen-address=9393"], 1, "give HOST:PORT"),
        (["--pathh=/tmp"], 2, "flag -pathh is not defined"),
    ],
)
def test_a_wrong_start_is_one_line(words: list[str], status: int, message: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "node.inotify_exporter", *words],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == status
    assert message in ended.stderr and "Traceback" not in ended.stderr


def test_the_port_is_that_of_the_original_and_the_shells_path_is_no_folder() -> None:
    defaults = {flag.name: flag.default for flag in program.FLAGS}
    assert defaults["prometheusx.listen-address"] == ":9393"
    assert defaults["path"] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"x.s2c_snaplog", ".s2c_snaplog"),
        (b"x.s2c_snaplog.gz", ".s2c_snaplog.gz"),
        (b"a.b.c", ".c"),
        (b"a.b.c.gz", ".c.gz"),
        (b"x.gz", ".gz"),
        (b"none", ""),
        (b".hidden", ".hidden"),
        (b"dot.", "."),
        (b"x.\xff\n", ".\ufffd\n"),
    ],
)
def test_an_extension_is_the_last_or_the_last_two_of_packed_files(name: bytes, expected: str) -> None:
    assert meters.extension(name) == expected
