"""What the machine refuses: room on the disk, descriptors, watches, events; and a clock that jumps."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import faultproxy
from tests.pusher_faults.rig import EXPERIMENT, Rig, running

LEFT_BYTES = 600_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB for the spool."""
    folder = tmp_path / EXPERIMENT
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_emptied_and_nothing_is_lost(store: str, tmp_path: Path, small_disk: Path) -> None:
    with running(Rig(tmp_path, store, spool=small_disk)) as rig:
        rig.proxy.fault = faultproxy.status(503)
        rig.start()
        rig.ready()
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        with (small_disk / ".ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, max(1, free - LEFT_BYTES))
        rig.until(lambda: rig.writer.refused > 5, "the disk is full")
        rig.kill()
        rig.start()
        refused = rig.writer.refused
        rig.until(lambda: rig.writer.refused > refused + 5, "it is full for another run, too")
        rig.proxy.fault = None
        rig.until(lambda: len(rig.custody.stored) > 5, "it makes room")
        rig.writer.stop()
        rig.end()
        rig.account()


def test_too_few_descriptors_lose_nothing(rig: Rig) -> None:
    rig.prefix = ["prlimit", "--nofile=40:40"]
    rig.proxy.fault = faultproxy.drip(pause_s=1)
    rig.start()
    rig.until(lambda: "Too many open files" in rig.said(), "descriptors are exhausted")
    rig.proxy.fault = None
    rig.until(lambda: len(rig.custody.stored) > 5, "it goes on")
    rig.writer.stop()
    rig.end()
    rig.account()


def test_nothing_is_imported_once_it_runs(rig: Rig) -> None:
    """What takes a descriptor at its first use, and ends the program where there is none by then."""
    rig.environment = {"PYTHONVERBOSE": "1"}
    rig.proxy.fault = faultproxy.status(503)
    rig.start()
    rig.ready()
    rig.until(lambda: "tried again" in rig.said(), "it fails")
    rig.proxy.fault = None
    rig.until(lambda: len(rig.custody.stored) > 20, "it works")
    assert rig.metric("pusher_tarfiles_successful_uploads_total") > 0
    rig.writer.stop()
    rig.end()
    rig.account()
    _, _, since = rig.said().partition("metrics on port")
    assert re.findall(r"^import '([^']+)' # .*FileLoader", since, re.MULTILINE) == []


def test_too_few_watches_lose_nothing(rig: Rig) -> None:
    limit = 'echo 6 > /proc/sys/user/max_inotify_watches && exec "$@"'
    rig.prefix = ["unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh"]
    rig.start()
    rig.until(lambda: "no inotify watch is left" in rig.said(), "watches are exhausted")
    rig.until(lambda: len(rig.custody.stored) > 10, "it goes on")
    rig.writer.stop()
    rig.end()
    rig.account()


def test_dropped_events_lose_nothing(rig: Rig) -> None:
    rig.start()
    rig.ready()
    rig.until(lambda: rig.custody.stored, "it works")
    assert rig.process is not None
    rig.process.send_signal(signal.SIGSTOP)
    busy = rig.spool / "ndt7" / "2026"
    for turn in range(40_000):
        os.close(os.open(busy / f"{turn % 2}", os.O_CREAT | os.O_RDWR))
    for turn in range(2):
        (busy / f"{turn}").unlink()
    written = len(rig.writer.written)
    rig.process.send_signal(signal.SIGCONT)
    rig.until(lambda: "the kernel dropped events" in rig.said(), "events are dropped")
    rig.until(lambda: len(rig.writer.written) > written + 20, "it goes on")
    rig.writer.stop()
    rig.end()
    rig.account()


def test_a_clock_that_jumps_loses_nothing(rig: Rig, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    rig.environment = {
        "LD_PRELOAD": str(next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    rig.start()
    rig.ready()
    for step in ("+2d", "-3d", "+400d", "-1s", "+0"):
        stored = len(rig.custody.stored)
        clock.write_text(step)
        rig.until(lambda stored=stored: len(rig.custody.stored) > stored + 1, f"it goes on at {step}")  # type: ignore[misc]
    rig.kill()
    clock.write_text("-30d")
    rig.start()
    rig.writer.stop()
    rig.end()
    rig.account()
