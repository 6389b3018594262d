"""Every connection that ends has a last record, and its bytes are those that its ends counted."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.tcpinfo import reader
from tests.tcpinfo.conftest import Start

Inside = Callable[..., "subprocess.Popen[str]"]
SECONDS = 300 if os.environ.get("MLAB_NIGHTLY") else 4
TRAFFIC = str(Path(__file__).with_name("traffic.py"))


@dataclass(frozen=True, slots=True)
class Counted:
    """What both ends of the traffic say of one of them."""

    sent: int
    received: int
    way: str
    exchanged_s: float
    closed_s: float

    def fits(self, snapshot: reader.Snapshot) -> bool:
        """Whether a last snapshot has its bytes.

        Of a closed socket the kernel counts the end of the other's stream (FIN) as one byte received. One that its own
        program aborts is cleared by the kernel before it says so; what the polls saw of it stays.
        """
        info = snapshot.tcp_info
        seen = info["BytesSent"] - info["BytesRetrans"], info["BytesReceived"]
        counted = self.sent, self.received
        if snapshot.state != reader.CLOSED:
            return seen == counted
        return (
            seen
            in {
                "in order": {counted, (self.sent, self.received + 1)},
                "reset": {counted},
                "aborts": {(0, 0)},
            }[self.way]
        )


def finished(traffic: subprocess.Popen[str]) -> dict[int, Counted]:
    """End the traffic; what was counted by cookie."""
    assert traffic.stdin is not None and traffic.stdout is not None
    traffic.stdin.write("\n")
    traffic.stdin.flush()
    lines = [line for line in traffic.stdout if line.startswith("{")]
    return {int(cookie): Counted(*counts) for cookie, counts in json.loads(lines[-1]).items()}


def test_all_of_2000_connections_and_200_new_a_second_have_their_exact_last_record(
    start: Start, inside: Inside
) -> None:
    program = start()
    traffic = inside(TRAFFIC, "2000", "200", str(SECONDS))
    assert traffic.stdout is not None
    assert traffic.stdout.readline() == "idle\n"
    assert traffic.stdout.readline() == "made\n"
    counted = finished(traffic)
    assert len(counted) == 2000 + 200 * SECONDS
    program.until("tcpinfo_flow_events_total", "close", len(counted))
    metrics = program.metrics()
    assert metrics["tcpinfo_destroy_overflows_total", ()] == 0
    assert metrics["tcpinfo_final_snapshots_total", ("destroy",)] == len(counted)
    assert program.stop() < 2
    found = program.snapshots()
    assert found.keys() == counted.keys()
    finals = {cookie: snapshots[-1] for cookie, snapshots in found.items()}
    assert {snapshot.state for snapshot in finals.values()} == {reader.CLOSED}
    assert sum(len(snapshots) == 1 for snapshots in found.values()) > 100, "all of them lived longer than a poll"
    wrong = {cookie: counted[cookie] for cookie, snapshot in finals.items() if not counted[cookie].fits(snapshot)}
    assert not wrong, (len(wrong), list(wrong.items())[:5])
    long_aborted = [c for c in list(counted)[:200] if counted[c].way == "aborts"]
    assert len(long_aborted) > 10
    for cookie in long_aborted:
        polled = [snapshot.tcp_info for snapshot in found[cookie][:-1]]
        assert (polled[-1]["BytesSent"], polled[-1]["BytesReceived"]) == (
            counted[cookie].sent,
            counted[cookie].received,
        )


def test_a_term_signal_in_the_middle_of_2000_connections_and_200_new_a_second_loses_none(
    start: Start, inside: Inside
) -> None:
    program = start()
    traffic = inside(TRAFFIC, "2000", "200", "on")
    assert traffic.stdout is not None
    assert traffic.stdout.readline() == "idle\n"
    program.until("tcpinfo_flow_events_total", "close", 201)
    told_s = time.monotonic()
    assert program.stop() < 2
    counted = finished(traffic)
    before = {cookie: of for cookie, of in counted.items() if of.exchanged_s < told_s}
    ended = {cookie for cookie, of in before.items() if of.closed_s < told_s}
    assert len(ended) > 200 and len(before) - len(ended) >= 1900 and len(counted) > len(before)
    finals = {cookie: snapshots[-1] for cookie, snapshots in program.snapshots().items()}
    assert finals.keys() >= before.keys()
    assert {finals[cookie].state for cookie in ended} == {reader.CLOSED}
    wrong = {cookie: before[cookie] for cookie in before if not before[cookie].fits(finals[cookie])}
    assert not wrong, (len(wrong), list(wrong.items())[:5])
