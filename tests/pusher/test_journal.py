"""What is on its way survives a kill at any byte, or was never on its way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.pusher import journal
from node.pusher.member import Member

OBJECTS = (journal.Object("ndt/ndt7/2026/11/22/x.tgz", 5000, 123456, "x.tgz"),)
MEMBERS = (
    Member("2026/11/22/a.json", 1, 2, 3, 1_795_368_559_499_999_999, 5),
    Member("2026/11/22/b\nsealed 12\n\udcff.json", 1, 7, 0, -5, 6),
    Member("2026/11/22/" + "n" * 255, 2**63, 2**63, 2**40, 0, 7),
)


def _entry(folder: Path, *, stored: bool = False) -> journal.Entry:
    return journal.Entry(folder / "x.journal", "2026/11/22", 77, OBJECTS, MEMBERS, stored)


def test_what_is_sealed_is_read_back(tmp_path: Path) -> None:
    made = journal.Journal(tmp_path)
    made.seal(_entry(tmp_path))
    assert list(made.entries()) == [_entry(tmp_path)]
    made.stored(_entry(tmp_path))
    assert list(made.entries()) == [_entry(tmp_path, stored=True)]
    made.done(_entry(tmp_path))
    assert list(made.entries()) == []


def test_a_journal_that_ends_at_any_byte_is_whole_or_none(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    sealed = journal.encode(_entry(tmp_path))
    data = sealed + b"stored\n"
    for length in range(len(data) + 1):
        found = journal.decode(path, data[:length])
        if length < len(sealed):
            assert found is None
        else:
            assert found == _entry(tmp_path, stored=length == len(data))


@settings(max_examples=200)
@given(st.data())
def test_a_journal_with_a_broken_byte_is_never_believed(data: st.DataObject) -> None:
    path = Path("x.journal")
    sealed = journal.encode(_entry(Path()))
    place = data.draw(st.integers(0, len(sealed) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != sealed[place]))
    assert journal.decode(path, sealed[:place] + bytes([byte]) + sealed[place + 1 :]) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    assert journal.decode(Path("x.journal"), data) is None
    assert journal.decode(Path("x.journal"), data + b"sealed 0\n") is None


def test_recovery_removes_what_no_bundle_needs(tmp_path: Path) -> None:
    made = journal.Journal(tmp_path)
    made.seal(_entry(tmp_path))
    torn = journal.encode(_entry(tmp_path))[:-3]
    for name, data in (("y.journal", torn), ("x.tgz", b"needed"), ("y.tgz", b"open when it was killed")):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "quarantine").mkdir()
    assert [entry.path.name for entry in made.entries()] == ["x.journal"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quarantine", "reserve", "x.journal", "x.tgz"]


def test_a_full_disk_has_room_for_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = journal.Journal(tmp_path)
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if (tmp_path / "reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr("node.pusher.journal.os.write", full)
    made.seal(_entry(tmp_path))
    assert not (tmp_path / "reserve").exists()
    assert list(made.entries()) == [_entry(tmp_path)]
    monkeypatch.undo()
    made.done(_entry(tmp_path))
    assert (tmp_path / "reserve").stat().st_size == journal.RESERVE_BYTES
