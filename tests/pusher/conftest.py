"""The real object store, the program, and a spool for it."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from node.pusher import tar, upload
from tests import objectstore_process, waiting
from tests.objectstore.wire import Wire
from tests.pusher.lanes import METADATA, Begin, Running, begin, datatype

ROOT = Path(__file__).parents[2]
LIMIT_S = 120
DAY = "2026/11/22"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with objectstore_process.running(tmp_path_factory.mktemp("store")) as url:
        yield Wire(url)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of a test's own."""

    wire: Wire
    name: str

    def names(self) -> list[str]:
        return self.wire.names(self.name)

    def read(self, name: str) -> bytes:
        return self.wire.read(self.name, name).content

    def members(self) -> list[tuple[str, bytes]]:
        """Of all bundles."""
        found = []
        for name in self.names():
            with tarfile.open(fileobj=io.BytesIO(self.read(name)), errorlevel=2) as file:
                for member in file:
                    opened = file.extractfile(member)
                    assert opened is not None
                    found.append((member.name, opened.read()))
        return found

    def fault(self, **effect: object) -> None:
        """What goes wrong with requests for this bucket."""
        match = {"bucket": self.name, **effect.pop("match", {})}  # type: ignore[dict-item]
        answer = self.wire.call("POST", "/_control/faults", document={"match": match, **effect})
        assert answer.ok, answer.text

    def heal(self) -> None:
        """Of all buckets of the store."""
        assert self.wire.call("DELETE", "/_control/faults").ok


@pytest.fixture
def bucket(store: Wire) -> Iterator[Bucket]:
    name = f"pusher-{next(_numbers)}"
    store.make_bucket(name)
    made = Bucket(store, name)
    yield made
    made.heal()


@dataclass(slots=True)
class Spool:
    """Files as an experiment writes them."""

    folder: Path

    def write(self, name: str, data: bytes, *, datatype: str = "ndt7") -> Path:
        path = self.folder / datatype / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def files(self) -> list[str]:
        """All that is left, below the datatypes."""
        found = self.folder.glob("[!.]*/**/*")
        return sorted(str(path.relative_to(self.folder)) for path in found if not path.is_dir() or path.is_symlink())

    def state(self, datatype: str = "ndt7") -> list[str]:
        """What the program keeps, without the room for journals."""
        return sorted(path.name for path in (self.folder / ".pusher" / datatype).iterdir() if path.name != "reserve")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    (made.folder / "ndt7").mkdir(parents=True)
    return made


@dataclass(slots=True)
class Pusher:
    """The running program."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def ready(self) -> Pusher:
        """Wait until it has begun."""
        self.until(lambda: "metrics on port" in self.said, "it starts")
        return self

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds, while it runs."""
        waiting.until(holds, what, process=self.process, told=lambda: self.said)

    def metric(self, name: str, **labels: str) -> float:
        port = self.said.rpartition("metrics on port ")[2].split()[0]
        body = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        try:
            return self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.said) from None


Start = Callable[..., Pusher]


@pytest.fixture
def start(bucket: Bucket, spool: Spool, tmp_path: Path) -> Iterator[Start]:
    """Start the program on the spool; words are added to its command line, or stand `alone`."""
    started: list[Pusher] = []

    def begin(
        *words: str,
        env: dict[str, str] | None = None,
        at: str | None = None,
        alone: Sequence[str] = (),
        by: Sequence[str] = (),
    ) -> Pusher:
        log = tmp_path / f"log-{len(started)}"
        program = [*by, sys.executable, "-m", "node.pusher"]
        command = [
            *(*program, f"-bucket={bucket.name}", f"-directory={spool.folder}"),
            *("-experiment=ndt", "-mlab_node_name=mlab1-abc01.mlab-oti.measurement-lab.org", "-sigterm_wait_time=0"),
            *("-metadata=MLAB.server.name=mlab1-abc01", "-prometheusx.listen-address=127.0.0.1:0"),
            *([] if any(word.startswith("-datatype") for word in words) else ["-datatype=ndt7"]),
            *words,
        ]
        variables = {**os.environ, "STORAGE_EMULATOR_HOST": at or bucket.wire.url, **(env or {})}
        with log.open("w") as file:
            process = subprocess.Popen([*program, *alone] if alone else command, cwd=ROOT, stderr=file, env=variables)
        started.append(Pusher(process, log))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


AT_ONCE = ("-archive_wait_time_min=0s", "-archive_wait_time_expected=100ms", "-archive_wait_time_max=200ms")
"""Bundles are sealed within 200 ms."""


@pytest.fixture
def client(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[upload.Bucket]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.wire.url)
    made = upload.Bucket(bucket.name, 60, 8)
    yield made
    made.close()


@pytest.fixture
def lane(client: upload.Bucket, spool: Spool) -> Iterator[Begin]:
    begun: list[Running] = []

    def make(threshold: int = 10**9, **changes: Any) -> Running:
        form = tar.Format("ndt", "ndt7", "mlab1-abc01", METADATA, threshold)
        begun.append(begin(datatype(spool, **changes), client, form))
        return begun[-1]

    yield make
    for running in begun:
        if not running.lane.finished.is_set():
            running.finish()
