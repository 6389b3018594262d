"""Files read back: ours, the archive's, broken ones; and as a table."""

from __future__ import annotations

import base64
import csv
import io
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from node.tcpinfo import fields, netlink, reader, records, table
from tests.tcpinfo.messages import info, message

HEAD = (
    b'{"Timestamp":"0001-01-01T00:00:00Z","Metadata":{"UUID":"ndt-abc12_1795366319_000000000000C963","Sequence":0,'
    b'"StartTime":"2026-11-22T17:29:19.204626638Z"}}\n'
)
VALUES = {0: b"\1", 68: (20_000).to_bytes(4, "little"), 104: b"\xff" * 8, 120: (3939771).to_bytes(8, "little")}


def lines(*messages: bytes) -> bytes:
    writer = records.Writer()
    made = [writer.snapshot(1, m[netlink.HEADER : netlink.BODY], m)[0] for m in messages]
    return HEAD + b"".join(made)


def file(folder: Path, content: bytes, name: str = "x.jsonl.zst") -> Path:
    path = folder / name
    path.write_bytes(zstandard.compress(content) if name.endswith(".zst") else content)
    return path


def sample() -> bytes:
    memory = {1: b"".join(n.to_bytes(4, "little") for n in range(1, 5)), 7: bytes(range(36))}
    return message(0xC963, {**memory, 2: info(VALUES), 4: b"bbr\0", 8: b"\0"})


@pytest.mark.parametrize("name", ["x.jsonl.zst", "x.jsonl"])
def test_a_snapshot_has_addresses_numbers_and_names(tmp_path: Path, name: str) -> None:
    metadata, found = reader.read(file(tmp_path, lines(sample()), name))
    assert metadata == reader.Metadata("ndt-abc12_1795366319_000000000000C963", 0, "2026-11-22T17:29:19.204626638Z")
    (snapshot,) = found
    assert (snapshot.source, snapshot.destination, snapshot.state) == ("198.51.100.1", "203.0.113.9", 1)
    assert (snapshot.message["SPort"], snapshot.message["Cookie"], snapshot.message["UID"]) == (5001, 0xC963, 65534)
    told = snapshot.tcp_info
    assert (told["RTT"], told["PacingRate"], told["BytesAcked"], told["SndWnd"]) == (20_000, -1, 3939771, 0)
    assert snapshot.memory == {"Rmem": 1, "Wmem": 2, "Fmem": 3, "Tmem": 4}
    assert snapshot.socket_memory["Drops"] == int.from_bytes(bytes(range(32, 36)), "little")
    assert snapshot.congestion_control == "bbr"


def test_an_older_kernel_s_shorter_structure_is_filled_with_zeros() -> None:
    told = fields.tcp_info(info({100: b"\7"}, 104))
    assert (told["TotalRetrans"], told["PacingRate"], len(told)) == (7, 0, 54)
    assert fields.tcp_info(b"") == {}


def test_files_of_several_frames_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(zstandard.compress(lines(sample())) + zstandard.compress(lines(sample())[len(HEAD) :]))
    assert len(list(reader.snapshots(path))) == 2


def test_the_final_snapshot_of_tables_is_the_last_established_one(tmp_path: Path) -> None:
    path = file(tmp_path, lines(sample(), message(1, state=1), message(1, state=7)))
    found = reader.last_established(reader.snapshots(path))
    assert found is not None and found.message["Cookie"] == 1
    assert reader.last_established(iter(())) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ":1: no metadata"),
        (b"{}\n", ":1: no metadata"),
        (b"[]\n", ":1: no metadata"),
        (b"spam\n", ":1: no metadata"),
        (HEAD + b"{}\n", ":2: no snapshot"),
        (HEAD + b"7\n", ":2: no snapshot"),
        (lines(sample())[:-20], ":2: no snapshot"),
        (HEAD + b'{"Timestamp":"x","RawIDM":"AAAA","Attributes":[]}\n', ":2: no snapshot: RawIDM has 3 bytes"),
        (HEAD + b'{"Timestamp":"x","RawIDM":"!","Attributes":[]}\n', ":2: no snapshot"),
    ],
)
def test_what_is_no_such_file_is_said_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = file(tmp_path, content)
    with pytest.raises(reader.FormatError) as caught:
        list(reader.snapshots(path))
    assert str(caught.value).startswith(f"{path}{said}")


def test_broken_compression_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(b"spam" * 10)
    with pytest.raises(reader.FormatError, match="broken compression"):
        list(reader.snapshots(path))


def convert(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "node.tcpinfo.table", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])


def rows(text: str) -> Sequence[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_has_one_row_a_snapshot(tmp_path: Path) -> None:
    done = convert(str(file(tmp_path, lines(*([sample()] * 151)))))
    assert (done.returncode, done.stdout.count("\n")) == (0, 152)
    row = rows(done.stdout)[0]
    assert tuple(row) == table.COLUMNS
    assert (row["IDM.SockID.Src"], row["IDM.SockID.Cookie"], row["TCP.RTT"]) == ("198.51.100.1", "C963", "20000")
    assert len(set(table.COLUMNS)) == len(table.COLUMNS)
    assert (row["MemInfo.Tmem"], row["SKMemInfo.Sndbug"]) == ("4", str(int.from_bytes(bytes(range(12, 16)), "little")))


def test_what_congestion_controls_say_is_in_the_table(tmp_path: Path) -> None:
    bbr = struct.pack("=IIIII", 7, 1, 20_000, 739, 512)
    dctcp, vegas = struct.pack("=HHIII", 1, 2, 3, 4, 5), struct.pack("=IIII", 1, 2, 3, 4)
    done = convert(str(file(tmp_path, lines(message(1, {16: bbr, 9: dctcp, 3: vegas, 5: b"\x10", 8: b"\3"})))))
    (row,) = rows(done.stdout)
    assert [row[f"BBR.{name}"] for name in fields.BBR] == [str((1 << 32) + 7), "20000", "739", "512"]
    assert [row[f"DCTCP.{name}"] for name in fields.DCTCP] == ["1", "2", "3", "4", "5"]
    assert [row[f"Vegas.{name}"] for name in fields.VEGAS] == ["1", "2", "3", "4"]
    assert (row["TOS"], row["Shutdown"], row["Mark"]) == ("16", "3", "0")
    assert row["Observed"] == str(1 << 15 | 1 << 8 | 1 << 2 | 1 << 4 | 1 << 7)


def test_what_a_snapshot_lacks_is_empty_in_the_table(tmp_path: Path) -> None:
    done = convert(str(file(tmp_path, lines(message(1, {})))))
    assert rows(done.stdout)[0]["TCP.RTT"] == ""


def test_the_converter_says_what_it_cannot_read(tmp_path: Path) -> None:
    for words, status in (([], 2), (["-x"], 2), ([str(tmp_path / "absent")], 1), ([str(file(tmp_path, b"{}"))], 1)):
        done = convert(*words)
        assert done.returncode == status
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_attributes_that_no_kernel_has_are_not_written() -> None:
    made = lines(message(1, {2: info(), 200: b"x"}))
    assert made.count(b"null") == 2
    assert base64.b64encode(info()) in made
