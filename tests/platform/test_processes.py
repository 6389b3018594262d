"""Detached processes and their records: found and ended after any crash, and nobody else's process with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.local import ports, processes, starting
from services.local.errors import PlatformError
from services.local.probe import Check
from services.local.processes import Launch, Running
from services.local.progress import Silent
from services.local.starting import Part
from tests import waiting
from tests.fleets import CHECKOUT
from tests.platform import machine

STAY = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
LISTEN = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2]))
        self.end_headers()
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "processes"
    processes.stop(processes.recorded(tmp_path / "processes"), tmp_path / "processes", grace_s=0.1)


def launch(folder: Path, code: str, *arguments: str, name: str = "env/one") -> Launch:
    return Launch(name, (sys.executable, "-c", code, *arguments), folder / "logs" / f"{name}.log")


def test_a_process_has_a_session_a_log_and_a_record_of_its_own(tmp_path: Path, records: Path) -> None:
    running = processes.spawn(launch(tmp_path, STAY), records, (1, 2), {"url": "x"})
    assert processes.recorded(records) == (running,) and processes.alive(running)
    assert os.getsid(running.pid) == running.pid != os.getsid(0)
    assert Path(running.log).stat().st_mode & 0o777 == 0o600
    assert processes.stop([running], records) == ()
    assert not processes.alive(running) and processes.recorded(records) == ()


def test_no_proxy_of_ours_reaches_a_process(tmp_path: Path, records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "x")
    code = "import os; print(sorted(name for name in os.environ if name.lower().endswith('_proxy')))"
    running = processes.spawn(launch(tmp_path, code), records)
    waiting.until(lambda: not processes.alive(running), "it ends")
    assert Path(running.log).read_text() == "[]\n"


def test_a_process_that_does_not_end_when_asked_is_killed_and_named(tmp_path: Path, records: Path) -> None:
    running = processes.spawn(launch(tmp_path, STUBBORN), records)
    waiting.until(lambda: "deaf" in Path(running.log).read_text(), "it ignores the signal")
    assert processes.stop([running], records, grace_s=0.1) == (running,)
    assert not processes.alive(running) and processes.recorded(records) == ()


@pytest.mark.parametrize(
    "other",
    [
        lambda one: replace(one, start_ticks=one.start_ticks + 1),
        lambda one: replace(one, boot_id="another boot of this machine"),
    ],
    ids=["started at another time", "started before a reboot"],
)
def test_a_pid_that_is_somebody_elses_now_is_left_alone(
    tmp_path: Path, records: Path, other: Callable[[Running], Running]
) -> None:
    running = processes.spawn(launch(tmp_path, STAY), records)
    stale = other(running)
    assert not processes.alive(stale)
    assert processes.stop([stale], records) == () and processes.recorded(records) == ()
    assert processes.alive(running)
    processes.stop([running], records)


def test_a_record_that_is_half_written_or_gone_again_is_passed_over(tmp_path: Path, records: Path) -> None:
    """While one thread reads the records, others write and remove theirs."""
    running = processes.spawn(launch(tmp_path, STAY), records)
    over = threading.Event()

    def write() -> None:
        path = records / "env.two.json"
        while not over.is_set():
            (records / ".env.two.json").write_text('{"name": "env/tw')
            (records / ".env.two.json").write_text((records / "env.one.json").read_text())
            (records / ".env.two.json").replace(path)
            path.unlink()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(500):
            assert running in processes.recorded(records)
    finally:
        over.set()
        writer.join()


KILLED = """
import os, signal, sys
from pathlib import Path
from services.local import processes
moment, folder = sys.argv[1], Path(sys.argv[2])
whole = processes._write
def write(path, text):
    if moment == "after":
        whole(path, text)
    os.kill(os.getpid(), signal.SIGKILL)
processes._write = write
code = f"open({str(folder / 'ran')!r}, 'w').close(); import time; time.sleep(600)"
processes.spawn(processes.Launch("env/one", (sys.executable, "-c", code), folder / "log"), folder / "processes")
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_parent_that_dies_at_the_record_leaves_no_process(tmp_path: Path, records: Path, moment: str) -> None:
    """The program does not run before its record is there, and not at all without the word of its parent."""
    mark = f"{os.getpid()}-{moment}"
    command = [sys.executable, "-c", KILLED, moment, str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, env={**os.environ, machine.MARK: mark}, check=False)
    assert done.returncode == -signal.SIGKILL
    waiting.until(lambda: not machine.marked(mark), "the waiting child ends", limit_s=60)
    assert not (tmp_path / "ran").exists()
    assert len(processes.recorded(records)) == (1 if moment == "after" else 0)


def part(folder: Path, code: str, *arguments: str, url: str = "", deadline_s: float = 20.0) -> Part:
    def made(found: tuple[int, ...]) -> Launch:
        return launch(folder, code, str(found[0]), *arguments)

    return Part("env/one", made, lambda found: Check(f"http://127.0.0.1:{found[0]}{url}"), deadline_s=deadline_s)


def start(wanted: Part, records: Path) -> Running:
    return starting.start(wanted, records, Silent(), threading.Event())


def test_a_part_works_when_it_listens_and_its_check_is_content(tmp_path: Path, records: Path) -> None:
    running = start(part(tmp_path, LISTEN, "200"), records)
    assert starting.missing(running) == "" and ports.listening(running.pid) == set(running.ports)
    processes.stop([running], records)
    assert starting.missing(running) == "not running"


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        ("import sys; print('some words'); sys.exit('no such file')", (), "ended while starting: no such file; log: "),
        ("raise SystemExit", (), "ended while starting: it said nothing; log: "),
        (STAY, (), "does not listen on"),
        (LISTEN, ("503",), "answers 503"),
    ],
    ids=["it ends with a reason", "it ends in silence", "it does not listen", "it is not content"],
)
def test_a_part_that_does_not_come_to_work_is_stopped_and_the_reason_is_one_line(
    tmp_path: Path, records: Path, code: str, arguments: tuple[str, ...], said: str
) -> None:
    # Only one that does nothing is waited for to the end; the others need the time that a Python needs to start.
    deadline_s = 1.0 if code is STAY else 10.0
    with pytest.raises(PlatformError, match=said) as raised:
        start(part(tmp_path, code, *arguments, deadline_s=deadline_s), records)
    assert len(str(raised.value).splitlines()) == 1
    assert processes.recorded(records) == ()


def test_a_part_whose_port_was_taken_meanwhile_gets_another(tmp_path: Path, records: Path) -> None:
    taken: list[int] = []

    def made(found: tuple[int, ...]) -> Launch:
        taken.append(found[0])
        # The first try finds its port in use, in the words of the program that lost it.
        return launch(
            tmp_path, LISTEN if len(taken) > 1 else "raise SystemExit('Address already in use')", str(found[0]), "200"
        )

    running = start(Part("env/one", made, lambda found: Check(f"http://127.0.0.1:{found[0]}")), records)
    assert len(taken) == 2 and running.ports == (taken[1],)


def test_a_start_that_is_given_up_stops_its_process(tmp_path: Path, records: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(starting.Cancelled):
        starting.start(part(tmp_path, STAY), records, Silent(), cancelled)
    assert processes.recorded(records) == ()


def test_free_ports_are_different_and_free_and_below_the_kernels_own(tmp_path: Path) -> None:
    found = ports.free(50)
    lowest_of_the_kernel = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(set(found)) == 50 and not set(found) & machine.listening() and max(found) < lowest_of_the_kernel


def test_a_port_counts_for_the_very_process_that_listens(tmp_path: Path, records: Path) -> None:
    running = start(part(tmp_path, LISTEN, "200"), records)
    assert ports.listening(os.getpid()).isdisjoint(running.ports)
    assert starting.missing(replace(running, pid=os.getpid())) == "not running"
