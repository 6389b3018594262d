"""The same of a real bucket, and of very much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from node.audit import audit, bundles, spool, stores
from tests import faultproxy, objectstore_process
from tests.audit import made
from tests.audit.made import Made, numbered

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store with one bucket."""
    with objectstore_process.running(tmp_path_factory.mktemp("store")) as address:
        answer = requests.post(f"{address}/storage/v1/b?project=p", json={"name": "pusher-mlab-sandbox"}, timeout=30)
        assert answer.ok, answer.text
        yield address


def command(there: Made, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The real command."""
    return subprocess.run(
        [sys.executable, "-c", "from reconcilers.cli.main import entry; entry()", "node", "audit", *words],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "STORAGE_EMULATOR_HOST": url},
        timeout=120,
    )


def upload(url: str, there: Made) -> None:
    for path in there.bucket.rglob("*"):
        if path.is_file():
            name = path.relative_to(there.bucket).as_posix()
            where = f"{url}/upload/storage/v1/b/pusher-mlab-sandbox/o"
            parameters = {"uploadType": "media", "name": name}
            assert requests.post(where, params=parameters, data=path.read_bytes(), timeout=30).ok


def test_a_bucket_is_read_as_a_folder_is(url: str, tmp_path: Path) -> None:
    there = Made(tmp_path)
    (there.spool / "ndt7").mkdir(parents=True)
    there.tar(1, numbered(0, 50))
    there.tar(2, {"2026/11/25/large": os.urandom(6 << 20), **numbered(49, 51)})
    there.lines(1, {"2026/11/25/x.json": b"{}"}, "annotation2")
    (there.spool / "annotation2").mkdir()
    upload(url, there)
    asked = command(there, url, str(there.spool), "gs://pusher-mlab-sandbox", "--json")
    folder = command(there, url, str(there.spool), str(there.bucket), "--json")
    assert (asked.returncode, asked.stdout) == (6, folder.stdout), asked.stderr
    assert json.loads(asked.stdout)["totals"]["findings"] == {"twice": 1}


@pytest.mark.parametrize("fault", [faultproxy.status(403), faultproxy.html()])
def test_a_store_that_does_not_answer_rightly_is_incomplete(url: str, tmp_path: Path, fault: faultproxy.Fault) -> None:
    there = Made(tmp_path)
    (there.spool / "ndt7").mkdir(parents=True)
    with faultproxy.FaultProxy(url) as proxy:
        proxy.fault = fault
        asked = command(there, proxy.url, str(there.spool), "pusher-mlab-sandbox")
    assert asked.returncode == 4, asked.stdout + asked.stderr
    assert asked.stderr.startswith("mlab: gs://pusher-mlab-sandbox: ") and asked.stderr.count("\n") == 1


def test_a_bucket_that_is_absent_is_incomplete(url: str, tmp_path: Path) -> None:
    there = Made(tmp_path)
    (there.spool / "ndt7").mkdir(parents=True)
    asked = command(there, url, str(there.spool), "gs://of-nobody")
    assert asked.returncode == 4 and "of-nobody" in asked.stderr


def test_memory_does_not_grow_with_files_nor_with_their_size(tmp_path: Path) -> None:
    there = Made(tmp_path)
    (there.spool / "ndt7").mkdir(parents=True)
    there.tar(1, {"2026/11/25/large": bytes(32 << 20)})
    there.tar(2, {f"2026/11/25/{number}": b"%d" % number for number in range(2000)})
    totals = audit.Totals()
    asked = audit.Question(spool.Spool(there.spool), stores.of(str(there.bucket)), made.EXPERIMENT)
    tracemalloc.start()
    assert list(audit.audit(asked, totals)) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert totals.stored_once == 2001
    assert peak < 6 << 20
    assert bundles.LONGEST_LINE_BYTES > 100 << 20, "a line as long as a file may be"
