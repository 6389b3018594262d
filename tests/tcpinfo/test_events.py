"""The event socket: lines as readers of the original expect them, and readers that are slow, late or gone."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import prometheus_client
import pytest

from node.tcpinfo import addresses, events, meters
from tests.tcpinfo.messages import message

NS = 1_795_368_559_205_164_571
UUID = "ndt-abc12_1795366319_000000000000C968"


@pytest.fixture
def count() -> meters.Meters:
    return meters.Meters(prometheus_client.CollectorRegistry())


@pytest.fixture
def stream(tmp_path: Path, count: meters.Meters) -> Iterator[events.EventSocket]:
    made = events.EventSocket(tmp_path / "tcpevents.sock", count)
    yield made
    made.close()


def connect(tmp_path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(10)
    made.connect(str(tmp_path / "tcpevents.sock"))
    return made


def test_an_open_has_both_ends_and_a_close_has_none() -> None:
    made = events.opened(NS, UUID, addresses.ends(message(51560)))
    assert made.decode() == (
        '{"Event":0,"Timestamp":"2026-11-22T17:29:19.205164571Z","UUID":"ndt-abc12_1795366319_000000000000C968",'
        '"ID":{"SPort":5001,"DPort":38602,"SrcIP":"198.51.100.1","DstIP":"203.0.113.9","Interface":0,"Cookie":51560}}\n'
    )
    closed = '{"Event":1,"Timestamp":"2026-11-22T17:29:19.205164571Z","UUID":"%s","ID":null}\n'
    assert events.closed(NS, UUID).decode() == closed % UUID


@pytest.mark.parametrize(
    ("source", "destination", "shown"),
    [
        ("2001:db8::1", "2001:db8::9", ("2001:db8::1", "2001:db8::9")),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.9", ("192.0.2.1", "192.0.2.9")),
    ],
)
def test_addresses_are_shown_as_people_write_them(source: str, destination: str, shown: tuple[str, str]) -> None:
    value = json.loads(events.opened(NS, UUID, addresses.ends(message(1, source=source, destination=destination))))
    assert (value["ID"]["SrcIP"], value["ID"]["DstIP"]) == shown


def test_a_cookie_is_a_signed_number() -> None:
    value = json.loads(events.opened(NS, UUID, addresses.ends(message(2**64 - 2))))
    assert value["ID"]["Cookie"] == -2


def test_every_reader_gets_every_line_from_when_it_came(
    stream: events.EventSocket, tmp_path: Path, count: meters.Meters
) -> None:
    with connect(tmp_path) as one:
        stream.accept()
        stream.send([b"a\n"])
        with connect(tmp_path) as two:
            stream.accept()
            assert count.clients._value.get() == 2
            stream.send([b"b\n", b"c\n"])
            assert one.recv(100) == b"a\nb\nc\n"
            assert two.recv(100) == b"b\nc\n"
        stream.pump()
        assert count.clients._value.get() == 1
        stream.send([b"d\n"])
        assert one.recv(100) == b"d\n"


def test_a_reader_that_does_not_read_is_cut_off_and_others_miss_nothing(
    stream: events.EventSocket, tmp_path: Path, count: meters.Meters
) -> None:
    line = b"x" * 1023 + b"\n"
    with connect(tmp_path) as slow, connect(tmp_path) as quick:
        stream.accept()
        got = 0
        for _ in range(events.QUEUE_BYTES // 1024 + 1024):
            stream.send([line])
            got += len(quick.recv(1 << 16))
        assert count.clients_dropped._value.get() == 1
        assert got == 1024 * (events.QUEUE_BYTES // 1024 + 1024)
        taken = 0
        while data := slow.recv(1 << 16):
            taken += len(data)
        assert 0 < taken < got


def test_a_reader_that_is_slow_gets_all_in_the_end(stream: events.EventSocket, tmp_path: Path) -> None:
    with connect(tmp_path) as reader:
        stream.accept()
        stream.send([b"x" * 3_000_000 + b"\n"])
        got = 0
        while got < 3_000_001:
            got += len(reader.recv(1 << 16))
            stream.pump()
        assert got == 3_000_001


def test_the_socket_of_a_killed_run_is_replaced(tmp_path: Path, count: meters.Meters) -> None:
    path = tmp_path / "tcpevents.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    made = events.EventSocket(path, count)
    with connect(tmp_path):
        assert len(made.accept()) == 1
    made.close()
    assert not path.exists()


def test_a_file_that_is_no_socket_stays(tmp_path: Path, count: meters.Meters) -> None:
    path = tmp_path / "tcpevents.sock"
    path.write_text("data")
    with pytest.raises(events.SocketError, match="in use"):
        events.EventSocket(path, count)
    assert path.read_text() == "data"


def test_a_socket_that_another_has_taken_over_stays(tmp_path: Path, count: meters.Meters) -> None:
    old = events.EventSocket(tmp_path / "tcpevents.sock", count)
    new = events.EventSocket(tmp_path / "tcpevents.sock", count)
    old.close()
    with connect(tmp_path):
        assert len(new.accept()) == 1
    new.close()
