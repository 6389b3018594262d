"""pusher and the real object store: files a second, processor time a file, the end with much to upload, memory.

The store is a process of its own and its processor time does not count. Everything is in memory: what the disk of this
machine takes for an fsync, or for a deletion, is no figure of the program's.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import objectstore_process, waiting
from tests.bench.measure import SOURCE
from tests.objectstore.wire import Wire

FILES = 30_000
DATATYPES = ("ndt7", "tcpinfo", "pcap", "scamper1", "annotation2")
DAY = "2026/11/22"
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _result(number: int, chance: random.Random) -> bytes:
    """1.3 KB, as a measurement writes it."""
    samples = [{"ElapsedTime": chance.randrange(10**7), "NumBytes": chance.randrange(10**8)} for _ in range(21)]
    moment = f"2026-11-22T18:45:{chance.randrange(60):02d}.{chance.randrange(10**9):09d}Z"
    result = {
        "GitShortCommit": "773b318",
        "Version": "v0.23.0",
        "ServerIP": "192.0.2.9",
        "ServerPort": 443,
        "ClientIP": f"198.51.100.{chance.randrange(256)}",
        "ClientPort": chance.randrange(65536),
        "StartTime": moment,
        "EndTime": moment,
        "UUID": f"ndt-abc12_1795366319_{number:016X}",
        "Samples": samples,
    }
    return json.dumps(result).encode()


@dataclass(frozen=True, slots=True)
class _Ended:
    seconds: float
    processor_s: float
    peak_mib: float


class _Program:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        waiting.until(lambda: "metrics on port" in log.read_text(), "it starts", process=process, told=log.read_text)
        time.sleep(0.5)  # what the start costs is over
        self._began = self._processor_s()

    def _processor_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    def end(self, began: float | None = None) -> _Ended:
        """SIGTERM; the time from then, or from `began`, to its end."""
        began = began or time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.process.pid, 0)
        seconds = time.perf_counter() - began
        self.process.returncode = os.waitstatus_to_exitcode(status)
        assert self.process.returncode == 0, self._log.read_text()
        return _Ended(seconds, usage.ru_utime + usage.ru_stime - self._began, usage.ru_maxrss / 1024)


@contextmanager
def _running(folder: Path, *words: str, datatypes: tuple[str, ...] = DATATYPES[:1]) -> Iterator[tuple[_Program, Path]]:
    """The program on a new spool, and the spool."""
    spool, store = folder / "spool", folder / "store"
    for name in datatypes:
        (spool / name / DAY).parent.mkdir(parents=True)
    store.mkdir()
    with objectstore_process.running(store) as url:
        Wire(url).make_bucket("pusher-bench")
        command = [
            *(sys.executable, "-m", "node.pusher", "-bucket=pusher-bench", "-experiment=ndt", f"-directory={spool}"),
            *("-sigterm_wait_time=0", "-prometheusx.listen-address=127.0.0.1:0", f"-datatype={','.join(datatypes)}"),
            *("-metadata=MLAB.server.name=mlab1-abc01", "-metadata=MLAB.experiment.name=ndt", *words),
        ]
        log = folder / "log"
        with log.open("w") as file:
            environment = {**os.environ, "STORAGE_EMULATOR_HOST": url}
            process = subprocess.Popen(command, cwd=SOURCE, stderr=file, env=environment)
        try:
            yield _Program(process, log), spool
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _row(name: str, value: str, limit: str) -> None:
    print(f"{name:<44} {value:<40} {limit}", flush=True)


def _files(folder: Path) -> None:
    """30,000 files that are there at once, with their folder; and as many that are closed one after the other."""
    chance = random.Random(1)
    results = [_result(number, chance) for number in range(FILES)]

    def write(into: Path) -> None:
        into.mkdir()
        for number, data in enumerate(results):
            with open(f"{into}/ndt7-download-{number:06d}.json", "wb") as file:  # noqa: PTH123
                file.write(data)

    write(folder / "ready")
    for name in ("at once", "closed one by one"):
        with _running(folder / name) as (program, spool):
            began = time.perf_counter()
            if name == "at once":
                (folder / "ready").rename(spool / "ndt7" / DAY)
            else:
                write(spool / "ndt7" / DAY)
            ended = program.end(began)
            assert not list((spool / "ndt7").rglob("*.json"))
        _row(
            f"pusher, {FILES} files of 1.3 KB, {name}",
            f"{FILES / ended.seconds:.0f}/s, {1e3 * ended.processor_s / FILES:.3f} ms of processor each",
            ">= 7,000/s, <= 0.10 ms",
        )
    _row("pusher, peak resident", f"{ended.peak_mib:.0f} MiB", "< 400 MB")


def _end(folder: Path) -> None:
    """Five datatypes with 10 MB each that cannot be compressed, then SIGTERM; and five bundles of 50 MB."""
    for megabytes, limit in ((10, "< 5 s"), (50, "< 400 MB")):
        with _running(folder / str(megabytes), "-archive_size_threshold=60MB", datatypes=DATATYPES) as (program, spool):
            chance = random.Random(2)
            for name in DATATYPES:
                into = spool / name / DAY
                into.mkdir()
                for number in range(20):
                    (into / f"{number}.pcap").write_bytes(chance.randbytes(megabytes * 50_000))
            time.sleep(2)  # they are packed when they are closed
            ended = program.end()
        value = f"{ended.seconds:.2f} s, {ended.processor_s:.2f} s of processor, {ended.peak_mib:.0f} MiB"
        _row(f"pusher, end with 5 x {megabytes} MB", value, limit)


def rows(_: Path) -> None:
    """All of them."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for part in (_files, _end):
            into = Path(folder, part.__name__)
            into.mkdir()
            part(into)
