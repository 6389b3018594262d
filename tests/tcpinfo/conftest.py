"""A network namespace with addresses that are no loopback, and the program in it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import uuid as unique
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.tcpinfo import reader
from tests import waiting
from tests.tcpinfo import traffic

ROOT = Path(__file__).parents[2]
PREFIX = "ndt-abc12_1795366319"
LIMIT_S = 120


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Its name. All addresses of both families are on its `lo`."""
    name = f"mlab-tcpinfo-{unique.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        for address in (traffic.CLIENT, traffic.SERVER, traffic.CLIENT6, traffic.SERVER6):
            words = ["nodad"] if ":" in address else []
            subprocess.run(["ip", "-n", name, "address", "add", address, "dev", "lo", *words], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@dataclass(slots=True)
class TcpInfo:
    """The running program."""

    process: subprocess.Popen[str]
    output: Path
    port: int
    log: Path

    def until(self, metric: str, label: str, value: float) -> None:
        """Wait until a metric with this label, "" for none, has reached a value."""
        key = metric, (label,) if label else ()
        waiting.until(
            lambda: self.metrics()[key] >= value, f"{key} reaches {value:g}", told=lambda: self.metrics()[key]
        )

    def metrics(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """By name and values of labels. Asked in the namespace, where the server listens."""
        words = [
            "nsenter",
            f"--net=/proc/{self.process.pid}/ns/net",
            sys.executable,
            "-IS",
            "-c",
            _SCRAPE,
            str(self.port),
        ]
        body = subprocess.run(words, check=True, capture_output=True, text=True, timeout=LIMIT_S).stdout
        return {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }

    def stop(self) -> float:
        """SIGTERM; the seconds of processor that it took until the end. The program must succeed."""
        before = self.processor_s()
        self.process.send_signal(signal.SIGTERM)

        def ended() -> tuple[int, resource.struct_rusage] | None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            return (status, usage) if pid else None

        found = waiting.until(ended, "it ends", limit_s=LIMIT_S, step_s=0.01, told=self.log.read_text)
        assert found is not None
        status, usage = found
        self.process.returncode = os.waitstatus_to_exitcode(status)
        assert self.process.returncode == 0, self.log.read_text()
        return usage.ru_utime + usage.ru_stime - before

    def processor_s(self) -> float:
        """Seconds of processor so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def files(self) -> list[Path]:
        """Those that have appeared."""
        return sorted(self.output.glob("*/*/*/[!.]*.zst"))

    def snapshots(self) -> dict[int, list[reader.Snapshot]]:
        """Of every connection, by cookie, over all its files."""
        found: dict[int, list[reader.Snapshot]] = {}
        for path in self.files():
            metadata, of = reader.read(path)
            assert path.name == f"{metadata.uuid}.{metadata.sequence:05d}.jsonl.zst"
            found.setdefault(int(metadata.uuid.rpartition("_")[2], 16), []).extend(of)
        return found


_SCRAPE = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 100) as asked:
    asked.sendall(b"GET /metrics HTTP/1.0\\r\\n\\r\\n")
    print(asked.makefile("rb").read().partition(b"\\r\\n\\r\\n")[2].decode())
"""

Start = Callable[..., TcpInfo]


@pytest.fixture
def start(namespace: str, tmp_path: Path) -> Iterator[Start]:
    """Start the program in the namespace; it has subscribed and polled when this returns."""
    started: list[subprocess.Popen[str]] = []
    prefix = tmp_path / "prefix"
    prefix.write_text(PREFIX)

    def begin(*words: str, capable: bool = True) -> TcpInfo:
        log = tmp_path / f"log-{len(started)}"
        command = ["ip", "netns", "exec", namespace]
        if not capable:
            command += ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        command += [sys.executable, "-m", "node.tcpinfo", f"-output={tmp_path / 'spool'}"]
        command += [f"-uuid-prefix-file={prefix}", "-prometheusx.listen-address=:0", *words]
        with log.open("w") as file:
            process = subprocess.Popen(command, cwd=ROOT, stderr=file, text=True, env={"PATH": os.environ["PATH"]})
        started.append(process)
        waiting.until(
            lambda: "metrics on port" in log.read_text(),
            "it starts",
            limit_s=LIMIT_S,
            process=process,
            told=log.read_text,
        )
        port = int(log.read_text().rpartition("metrics on port ")[2].split()[0])
        return TcpInfo(process, tmp_path / "spool", port, log)

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def inside(namespace: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Run a Python program in the namespace, with pipes."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", namespace, sys.executable, *words]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
