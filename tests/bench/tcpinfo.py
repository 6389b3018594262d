"""Figures of tcp-info, inside a network namespace of its own: `unshare --net python -m tests.bench.tcpinfo`."""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import prometheus_client
from prometheus_client.parser import text_string_to_metric_families

from node.tcpinfo import addresses, changes, connections, files, meters, netlink, recorder
from services.local import programs
from tests.tcpinfo.traffic import CLIENT, SERVER

Pair = tuple[socket.socket, socket.socket]


def pairs(many: int) -> list[Pair]:
    """Connections between two addresses of this namespace."""
    server = socket.create_server((SERVER, 0), backlog=4096)
    made = []
    for _ in range(many):
        client = socket.socket()
        client.bind((CLIENT, 0))
        client.connect(server.getsockname())
        made.append((client, server.accept()[0]))
    return made


def recording(folder: Path) -> tuple[recorder.Recorder, connections.Connections]:
    """The program without its clock."""
    count = meters.Meters(prometheus_client.CollectorRegistry())
    into = files.Folder(folder, count.files.inc)
    of = connections.Connections("bench_1", addresses.Excluded(), into, count, lambda _: None, None)
    return recorder.Recorder(recorder.Pace(0.01, 0), of, count, None, False), of


def row(name: str, value: str, limit: str) -> None:
    print(f"{name:<44} {value:<32} {limit}", flush=True)


def poll_idle() -> None:
    dumps, known = netlink.Dumps(socket.AF_INET), changes.Changes()
    walls, polls = [], 200
    known.of(dumps.buffers())
    processor = time.process_time()
    for _ in range(polls):
        began = time.perf_counter()
        known.of(dumps.buffers())
        known.gone(time.monotonic())
        walls.append(time.perf_counter() - began)
    processor = time.process_time() - processor
    best, per_processor = known.count / min(walls) / 1000, known.count * polls / processor / 1000
    row(
        f"tcp-info poll and diff, {known.count} idle",
        f"{best:.0f}/ms best, {per_processor:.0f}/ms of processor",
        ">= 350/ms",
    )
    row("tcp-info resident", f"{_resident_mib():.0f} MiB", "< 150 MB")


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def poll_busy(made: list[Pair], folder: Path) -> None:
    """500 of 1,500 sockets change between two polls: poll, lines and compression must fit in the interval."""
    work, of = recording(folder)
    work.poll()
    # Connections do not begin all at once, so neither do they write all at once.
    for turn in range(20):
        for place, (client, _) in enumerate(made[:250]):
            if place % 20 > turn:
                client.send(b"x")
        work.poll()
    while of.work(time.time_ns()):
        pass
    spent = []
    for _ in range(150):
        for client, _ in made[:250]:
            client.send(b"x")
        began = time.process_time()
        work.poll()
        while of.work(time.time_ns()):
            pass
        spent.append(time.process_time() - began)
    spent.sort()
    p95 = 1e3 * spent[int(len(spent) * 0.95)]
    row(
        f"tcp-info, 500 of {len(of)} change: poll, write",
        f"{1e3 * statistics.median(spent):.1f} ms median, {p95:.1f} ms p95 of processor",
        "<= 10 ms",
    )
    row("tcp-info resident after 75,000 snapshots", f"{_resident_mib():.0f} MiB", "< 150 MB")
    work.finish()


def all_busy(made: list[Pair], folder: Path) -> None:
    """Memory when every socket changes all the time, so that all have lines waiting and compressors run out."""
    work, of = recording(folder)
    for _ in range(100):
        for client, _ in made:
            client.send(b"x")
        work.poll()
        while of.work(time.time_ns()):
            pass
    row(f"tcp-info resident, all of {len(of)} change", f"{_resident_mib():.0f} MiB", "< 150 MB")
    work.finish()


def new_files(folder: Path) -> None:
    """Connections that are seen, end, and become a file each."""
    message = next(iter(changes.Changes().of(netlink.Dumps(socket.AF_INET).buffers())))[1]
    _, of = recording(folder)
    many = 3000
    began, processor = time.perf_counter(), time.process_time()
    for cookie in range(many):
        own = message[: netlink.COOKIE] + cookie.to_bytes(8, "little") + message[netlink.COOKIE + 8 :]
        of.saw([(cookie, own)], time.time_ns())
        of.ended(cookie, own, time.time_ns())
        of.work(time.time_ns())
    wall, processor = time.perf_counter() - began, time.process_time() - processor
    row("tcp-info, new connection files", f"{many / wall:.0f}/s, {many / processor:.0f}/s of processor", ">= 3,500/s")
    assert len(list(folder.glob("*/*/*/bench_*"))) == many


def program(made: list[Pair], folder: Path, name: str, command: list[str]) -> None:
    """A whole program, at its own pace, while 500 of 1,500 sockets change every 10 ms; then its end."""
    folder.mkdir()
    prefix, log = folder / "prefix", folder / "log"
    prefix.write_text("bench_1")
    words = [*command, f"-output={folder / 'spool'}", f"-uuid-prefix-file={prefix}"]
    with (
        log.open("w") as file,
        subprocess.Popen([*words, "-prometheusx.listen-address=127.0.0.1:9991"], stderr=file) as process,
    ):
        while not _answers(9991):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        until = due = time.monotonic() + 5
        due -= 5
        while (now := time.monotonic()) < until:
            for client, _ in made[:250]:
                client.send(b"x")
            due = max(due + 0.01, now)
            time.sleep(max(0, due - time.monotonic()))
        with urllib.request.urlopen("http://127.0.0.1:9991/metrics") as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        processor_s = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        began = time.monotonic()
        process.terminate()
        process.wait()
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for family in families
        for sample in family.samples
        if sample.name == "tcpinfo_polling_interval_histogram_bucket"
    ]
    polls = buckets[-1][1]
    p95 = next(limit for limit, count in buckets if count >= 0.95 * polls)
    row(f"{name}, interval, 500 of 1500 change", f"<= {1e3 * p95:.0f} ms p95 of {polls:.0f} polls", "<= 12 ms")
    row(f"{name}, processor", f"{1e3 * processor_s / polls:.1f} ms a poll", "")
    row(f"{name}, program resident", f"{pages * os.sysconf('SC_PAGE_SIZE') / (1 << 20):.0f} MiB", "< 150 MB")
    row(f"{name}, SIGTERM with 1500 open", f"{time.monotonic() - began:.2f} s", "< 2 s")


def _answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def inside() -> None:
    """All rows; the namespace's `lo` gets the addresses first."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for words in (["link", "set", "lo", "up"], *(["address", "add", a, "dev", "lo"] for a in (CLIENT, SERVER))):
        subprocess.run(["ip", *words], check=True)
    # In memory: what the disk of this machine takes for a new file is no figure of the program's.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        made = pairs(1000)
        poll_idle()
        all_busy(made, Path(folder, "all"))
        for client, taken in made[750:]:
            client.close()
            taken.close()
        poll_busy(made[:750], Path(folder, "busy"))
        program(made[:750], Path(folder, "program"), "tcp-info", [sys.executable, "-m", "node.tcpinfo"])
        original = str(programs.path("tcp-info"))
        program(made[:750], Path(folder, "original"), "the original", [original])
        new_files(Path(folder, "new"))


def rows(_: Path) -> None:
    """All of them, as `make bench` wants them."""
    subprocess.run(["unshare", "--net", sys.executable, "-m", "tests.bench.tcpinfo"], check=True)


if __name__ == "__main__":
    inside()
