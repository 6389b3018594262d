"""The original's own tools read what ours writes, and hear what ours tells; and ours reads the original's files."""

from __future__ import annotations

import csv
import io
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from node.tcpinfo import reader, table
from services.local import programs
from tests import waiting
from tests.tcpinfo import traffic
from tests.tcpinfo.conftest import PREFIX, Start
from tests.tcpinfo.test_program import Inside, Talk

# Where nothing is cached, the programs are built first.
pytestmark = [pytest.mark.xdist_group("tcpinfo-original"), pytest.mark.timeout(900)]

OTHERS = {"Timestamp", "Observed", "NotFullyParsed", "IDM.SockID.Cookie"}
"""Columns that the original writes in a form of its own."""


@pytest.fixture(scope="module")
def original() -> dict[str, Path]:
    return programs.build(programs.ORIGINALS)


def recorded(start: Start, inside: Inside) -> list[Path]:
    """Files of two connections' ends, by the program."""
    program = start()
    for many in (2, 4):
        talk = Talk(inside)
        program.until("tcpinfo_flow_events_total", "open", many)
        talk.say()
        talk.end()
    program.stop()
    return program.files()


def rows_of(text: str) -> list[dict[str, str]]:
    """Rows by column; the original gives some columns one and the same name: those are left out."""
    head, *rows = csv.reader(io.StringIO(text))
    once = {name for name, many in Counter(head).items() if many == 1}
    return [{name: value for name, value in zip(head, row, strict=True) if name in once} for row in rows]


def test_its_table_of_our_file_is_ours(start: Start, inside: Inside, original: dict[str, Path]) -> None:
    paths = recorded(start, inside)
    assert len(paths) == 4
    for path in paths:
        words = (original["csvtool"], path)
        theirs = rows_of(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        snapshots = list(table.rows(path))
        # Line 1 of a file, which has no snapshot, is a row of the original's table.
        assert len(theirs) == len(snapshots) + 1 >= 3
        compared = (theirs[0].keys() & set(table.COLUMNS)) - OTHERS
        assert len(compared) > 60
        for row, ours in zip(theirs[1:], snapshots, strict=True):
            # What has no structure in a snapshot is blank in both, or a zero in one of them.
            theirs_now = {name: row[name] or "0" for name in compared}
            assert theirs_now == {name: str(ours.get(name) or 0) for name in compared}


def test_its_client_hears_of_every_connection_that_ours_sees(
    start: Start, inside: Inside, original: dict[str, Path], tmp_path: Path
) -> None:
    place, log = tmp_path / "events.sock", tmp_path / "client.log"
    program = start(f"-tcpinfo.eventsocket={place}")
    words = [str(original["example-eventsocket-client"]), f"-tcpinfo.eventsocket={place}"]
    with log.open("wb") as file:
        client = subprocess.Popen(words, stderr=file)
    try:
        program.until("tcpinfo_eventsocket_clients", "", 1)
        talk = Talk(inside)
        uuids = {f"{PREFIX}_{cookie:016X}" for cookie in talk.cookies}
        waiting.until(lambda: told(log, "open") == uuids, "the client is told of each start", told=log.read_text)
        talk.end()
        waiting.until(lambda: told(log, "close") == uuids, "the client is told of each end", told=log.read_text)
    finally:
        client.kill()
        client.wait()
    program.stop()


def told(log: Path, what: str) -> set[str]:
    """UUIDs of the client's lines of one kind."""
    lines = [line.split() for line in log.read_text().splitlines() if what in line.split()]
    return {word for line in lines for word in line if word.startswith(PREFIX)}


def test_ours_reads_its_files(namespace: str, inside: Inside, original: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "prefix").write_text(PREFIX)
    words = [f"-uuid-prefix-file={tmp_path / 'prefix'}", f"-output={tmp_path}", "-prometheusx.listen-address=:0"]
    command = ["ip", "netns", "exec", namespace, str(original["tcp-info"]), *words]
    with (tmp_path / "log").open("wb") as log:
        program = subprocess.Popen(command, stderr=log)
    try:
        talk = Talk(inside)
        names = {f"{PREFIX}_{cookie:016X}.00000.jsonl.zst" for cookie in talk.cookies}

        def files() -> dict[str, Path]:
            return {path.name: path for path in tmp_path.glob("2*/*/*/*.zst")}

        waiting.until(lambda: files().keys() == names, "it records both ends", told=files)
        talk.say()
        talk.end()

        def read() -> list[list[reader.Snapshot]]:
            return [list(reader.snapshots(path)) for path in files().values()]

        def whole() -> bool:
            try:
                return all(found and found[-1].message["Cookie"] in talk.cookies for found in read())
            except reader.FormatError:
                return False

        waiting.until(whole, "its files end")
        for found in read():
            assert {snapshot.source for snapshot in found} <= {traffic.CLIENT, traffic.SERVER}
            last = reader.last_established(iter(found))
            assert last is not None and last.tcp_info["RTT"] > 0
    finally:
        program.kill()
        program.wait()
