"""pusher as a program, between a spool that is written to and a real store behind a proxy; at the end, the account."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests import waiting
from tests.faultproxy import FaultProxy
from tests.pusher_faults.custody import Custody
from tests.pusher_faults.writers import RATIO, Writer

ROOT = Path(__file__).parents[2]
LIMIT_S = 120
EXPERIMENT = "ndt"
_FLAGS = (
    f"-experiment={EXPERIMENT}",
    "-mlab_node_name=mlab1-abc01.mlab-sandbox.measurement-lab.org",
    *(f"-datatype={name}" for name in ("ndt7", "tcpinfo", f"sampled={RATIO}")),
    "-autoload=annotation2",
    "-bundle-size-max=60000",
    "-bundle-age-max=200ms",
    "-archive_size_threshold=60KB",
    "-archive_wait_time_min=100ms",
    "-archive_wait_time_expected=200ms",
    "-archive_wait_time_max=300ms",
    "-cleanup_interval=500ms",
    "-cleanup_interval_max=1s",
    "-sigterm_wait_time=0s",
    "-upload_timeout=2s",
    "-prometheusx.listen-address=127.0.0.1:0",
)


class Rig:
    """One spool, one bucket. `prefix` is what pusher is started below, such as a namespace."""

    def __init__(self, folder: Path, store: str, *, spool: Path | None = None, seed: int = 1) -> None:
        self._folder = folder
        self._store = store
        self.spool = spool or folder / EXPERIMENT
        self.bucket = f"pusher-{uuid.uuid4().hex[:12]}"
        answer = requests.post(f"{store}/storage/v1/b?project=p", json={"name": self.bucket}, timeout=LIMIT_S)
        assert answer.ok, answer.text
        self.writer = Writer(self.spool, seed)
        self.custody = Custody(self.spool)
        self.proxy = FaultProxy(store)
        self.proxy.before, self.proxy.after = self.custody.before, self.custody.after
        self.log = folder / "pusher.log"
        self._began = 0
        self._columns = folder / "annotation2.json"
        self._columns.write_text(
            json.dumps([{"name": "number", "type": "INTEGER"}, {"name": "text", "type": "STRING"}])
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: Sequence[str] = ()
        self.environment: Mapping[str, str] = {}

    def start(self, *flags: str, **environment: str) -> None:
        """Start pusher; it may die at any moment."""
        with self.log.open("ab") as log:
            self._began = log.tell()
            self.process = subprocess.Popen(
                [
                    *self.prefix,
                    *(sys.executable, "-m", "node.pusher", f"-directory={self.spool}", f"-bucket={self.bucket}"),
                    *(*_FLAGS, f"-datatype-schema-file=annotation2:{self._columns}"),
                    *flags,
                ],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "STORAGE_EMULATOR_HOST": self.proxy.url,
                    "PYTHONPATH": str(ROOT),
                    **self.environment,
                    **environment,
                },
            )

    def said(self) -> str:
        """The log since the start."""
        with self.log.open("rb") as log:
            log.seek(self._began)
            return log.read().decode(errors="replace")

    def troubles(self) -> str:
        """The end of that log, without what went well."""
        return "\n".join(line for line in self.said().splitlines() if " INFO: stored " not in line)[-4000:]

    def ready(self) -> None:
        """Wait until it works, and handles signals."""
        self.until(lambda: "metrics on port" in self.said(), "it starts")

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds, while pusher lives."""
        waiting.until(holds, what, limit_s=LIMIT_S, step_s=0.01, process=self.process, told=self.troubles)

    def killed(self) -> None:
        """Wait for its death by SIGKILL."""
        assert self.process is not None
        try:
            status = self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it was not killed: {self.troubles()}") from None
        assert status == -signal.SIGKILL, f"{status}: {self.troubles()}"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """SIGTERM; everything must be stored by then."""
        assert self.process is not None
        self.ready()
        # At the end it is tried once more only, which a machine that stands still for two seconds would make fail.
        self.until(lambda: "INFO: annotation2: table " in self.said(), "its table is described")
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(LIMIT_S)
        assert status == 0, f"{status}: {self.troubles()}"

    def metric(self, name: str) -> float:
        """The sum of all series of this name."""
        port = self.said().rpartition("metrics on port ")[2].split()[0]
        body = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S).text
        return sum(float(line.rpartition(" ")[2]) for line in body.splitlines() if line.split("{")[0] == name)

    def account(self) -> dict[str, Any]:
        """The real command must prove every file; nothing was deleted early, nothing is left."""
        expected = self.writer.expect(self._folder / "expected")
        command = [sys.executable, "-c", "from reconcilers.cli.main import entry; entry()", "node", "audit"]
        command += [str(self.spool), f"gs://{self.bucket}", f"--expect={expected}", "--json"]
        done = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env={**os.environ, "STORAGE_EMULATOR_HOST": self._store},
            capture_output=True,
            text=True,
            timeout=600,
        )
        document = json.loads(done.stdout) if done.returncode in (0, 6) else {}
        findings = [finding for finding in document.get("findings", []) if finding["kind"] != "quarantined"]
        assert document and not findings, f"{findings[:20]}{done.stderr}{self.troubles()}"
        self._aside()
        totals: dict[str, Any] = document["totals"]
        assert totals["quarantined"] == len(self.writer.bad)
        assert totals["proven"] == totals["expected"] == len(self.writer.written) > 0
        assert self.custody.early == []
        left = {key: totals[key] for key in ("waiting", "on_their_way", "deletion_pending") if totals[key]}
        assert not left, f"{left} {self.troubles()}"
        return totals

    def _aside(self) -> None:
        """Each file that was moved aside is there as it was written."""
        for name, content in self.writer.bad.items():
            datatype, _, below = name.partition("/")
            assert (self.spool / ".pusher" / datatype / "quarantine" / below).read_bytes() == content


@contextmanager
def running(rig: Rig) -> Iterator[Rig]:
    """The proxy answers and the writer writes, until the block ends; then no program is left."""
    with rig.proxy:
        rig.writer.start()
        try:
            yield rig
        finally:
            if rig.process is not None and rig.process.poll() is None:
                rig.kill()
            rig.writer._stop.set()
