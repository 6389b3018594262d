"""The program as pods run it: start, events, what it leaves out, restart, end, and a disk that is full."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from node.tcpinfo import reader
from tests import waiting
from tests.tcpinfo import traffic
from tests.tcpinfo.conftest import PREFIX, ROOT, Start

Inside = Callable[..., "subprocess.Popen[str]"]

TALK = """
import socket, sys
source, server, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in server else socket.AF_INET
listening = socket.socket(family)
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listening.bind((server, port))
listening.listen()
client = socket.socket(family)
client.bind((source, 0))
client.connect((server, port))
taken, _ = listening.accept()
print(*(int.from_bytes(end.getsockopt(socket.SOL_SOCKET, 57, 8), "little") for end in (client, taken)), flush=True)
for line in sys.stdin:
    if line == "end\\n":
        break
    client.sendall(line.encode())
    taken.recv(1000)
    print("said", flush=True)
client.close()
taken.close()
print("ended", flush=True)
"""


class Talk:
    """A connection between two addresses of the namespace, and the cookies of its ends."""

    def __init__(
        self, inside: Inside, source: str = traffic.CLIENT, server: str = traffic.SERVER, port: int = 5001
    ) -> None:
        self._process = inside("-c", TALK, source, server, str(port))
        self.cookies = {int(word) for word in self._answer().split()}

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def say(self) -> None:
        self._say("hello\n")
        assert self._answer() == "said\n"

    def end(self) -> None:
        self._say("end\n")
        assert self._answer() == "ended\n"


def test_a_term_signal_ends_it_with_every_open_connection_written(start: Start, inside: Inside) -> None:
    program = start()
    talk = Talk(inside)
    for _ in range(3):
        talk.say()
    assert program.stop() < 2
    found = program.snapshots()
    assert found.keys() == talk.cookies
    assert {of[-1].tcp_info["BytesSent"] + of[-1].tcp_info["BytesReceived"] for of in found.values()} == {18}
    assert not list(program.output.rglob(".*"))


def test_a_second_run_goes_on_in_the_next_file(start: Start, inside: Inside) -> None:
    talk = Talk(inside)
    for _ in range(2):
        program = start()
        program.until("tcpinfo_flow_events_total", "open", 2)
        talk.say()
        program.stop()
    names = [path.name for path in program.files()]
    assert names == [f"{PREFIX}_{cookie:016X}.{n:05d}.jsonl.zst" for cookie in sorted(talk.cookies) for n in (0, 1)]


def test_what_a_killed_run_left_is_finished_at_the_next_start(start: Start, inside: Inside) -> None:
    program = start()
    talk = Talk(inside)

    def spilled() -> bool:
        talk.say()
        return len(list(program.output.rglob(".*.zst"))) == 2

    waiting.until(spilled, "both ends have partial files")
    program.process.send_signal(signal.SIGKILL)
    program.process.wait()
    again = start()
    assert "lines recovered" in again.log.read_text()
    again.stop()
    assert not list(again.output.rglob(".*"))
    assert all(len(of) > 10 for of in again.snapshots().values())


def test_readers_hear_of_connections_and_of_those_that_were_open_if_they_wish(
    start: Start, inside: Inside, tmp_path: Path
) -> None:
    path = tmp_path / "events.sock"
    before = Talk(inside)
    program = start(f"-tcpinfo.eventsocket={path}", "-tcpinfo.eventsocket.replay")
    program.until("tcpinfo_flow_events_total", "open", 2)
    with socket.socket(socket.AF_UNIX) as reading:
        reading.connect(str(path))
        reading.settimeout(120)
        lines = reading.makefile()
        replayed = [json.loads(lines.readline()) for _ in range(2)]
        assert {event["ID"]["Cookie"] for event in replayed} == before.cookies
        after = Talk(inside, traffic.CLIENT6, traffic.SERVER6)
        opened = [json.loads(lines.readline()) for _ in range(2)]
        assert {event["ID"]["Cookie"] for event in opened} == after.cookies
        assert {event["ID"]["SrcIP"] for event in opened} == {traffic.CLIENT6, traffic.SERVER6}
        after.end()
        closed = [json.loads(lines.readline()) for _ in range(2)]
        assert {event["UUID"] for event in closed} == {f"{PREFIX}_{cookie:016X}" for cookie in after.cookies}
        assert {event["Event"] for event in closed} == {1}
        program.stop()
        assert lines.readline() == ""
    assert not path.exists()


def test_excluded_ports_and_addresses_leave_no_file_and_bad_values_are_logged(start: Start, inside: Inside) -> None:
    program = start("-exclude-srcport=5002,monkey,70000", f"-exclude-dstip={traffic.CLIENT6},300.1.1.1")
    by_port, by_address = Talk(inside, port=5002), Talk(inside, traffic.CLIENT6, traffic.SERVER6, 5003)
    loopback, recorded = Talk(inside, "127.0.0.1", "127.0.0.1", 5004), Talk(inside)
    for talk in (by_port, by_address, loopback, recorded):
        talk.say()
        talk.end()
    program.stop()
    found = program.snapshots().keys()
    assert found > recorded.cookies
    assert len(found & by_port.cookies) == len(found & by_address.cookies) == 1
    assert not found & loopback.cookies
    log = program.log.read_text()
    assert all(f"'{value}'" in log for value in ("monkey", "70000", "300.1.1.1"))


def test_anonymised_files_keep_the_machine_s_own_addresses(start: Start, inside: Inside) -> None:
    program = start("-anonymize.ip=netblock")
    talk = Talk(inside)
    talk.say()
    program.stop()
    seen = {snapshot.source for of in program.snapshots().values() for snapshot in of}
    assert seen == {traffic.CLIENT, traffic.SERVER}


def test_so_many_polls_and_then_it_ends(start: Start, inside: Inside) -> None:
    talk = Talk(inside)
    talk.say()
    program = start("-reps=2", "-interval=200ms")
    assert program.process.wait(120) == 0
    assert program.snapshots().keys() == talk.cookies


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("-uuid-prefix-file=",), 1, "-uuid-prefix-file is empty"),
        (("-uuid-prefix-file=/nowhere/prefix",), 1, "run create-uuid-prefix-file first"),
        (("-anonymize.ip=all",), 1, "neither none nor netblock"),
        (("-interval=0",), 1, "not from 1ms to 60s"),
        (("-reps=-1",), 1, "negative"),
        (("-prometheusx.listen-address=x",), 1, "give HOST:PORT"),
        (("-tcpinfo.eventsocket=/nowhere/at/all.sock",), 1, "/nowhere/at/all.sock"),
        (("-output=/proc/nowhere",), 1, "/proc/nowhere"),
        (("-unknown",), 2, "not defined"),
    ],
)
def test_what_it_cannot_start_with_is_said(tmp_path: Path, words: tuple[str, ...], status: int, said: str) -> None:
    prefix = tmp_path / "prefix"
    prefix.write_text(PREFIX)
    command = [sys.executable, "-m", "node.tcpinfo", f"-uuid-prefix-file={prefix}", f"-output={tmp_path / 'spool'}"]
    command += ["-prometheusx.listen-address=127.0.0.1:0", "-reps=1", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status
    assert said in done.stderr and "Traceback" not in done.stderr


def test_without_any_capability_it_records_all_the_same(start: Start, inside: Inside) -> None:
    program = start(capable=False)
    talk = Talk(inside)
    talk.say()
    talk.end()
    program.until("tcpinfo_flow_events_total", "close", 2)
    program.stop()
    found = program.snapshots()
    assert found.keys() == talk.cookies
    assert {of[-1].state for of in found.values()} == {reader.CLOSED}


def test_the_series_that_dashboards_read_are_there_from_the_start(start: Start) -> None:
    metrics = start().metrics()
    for name, labels in (
        ("tcpinfo_syscall_time_histogram_bucket", ("ipv4", "0.0016")),
        ("tcpinfo_polling_interval_histogram_bucket", ("0.012",)),
        ("tcpinfo_connection_count_histogram_bucket", ("ipv6", "12.5")),
        ("tcpinfo_cache_count_histogram_bucket", ("79000.0",)),
        ("tcpinfo_send_rate_histogram_bucket", ("6.31e+08",)),
        ("tcpinfo_receive_rate_histogram_sum", ()),
        ("tcpinfo_error_total", ("wrong seq num",)),
        ("tcpinfo_new_file_total", ()),
        ("tcpinfo_snapshot_total", ()),
        ("git_short_commit", ("",)),
    ):
        assert (name, labels) in metrics, name
