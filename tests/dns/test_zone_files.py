"""Zones as files: nothing replaces a zone that BIND's checker has not accepted."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconcilers.core.errors import Conflict, Permanent, Temporary
from reconcilers.providers.dns.records import RecordSet, Swap
from reconcilers.providers.dns.zonefile import ZoneFiles, next_serial, written
from services.local import nameserver
from tests.dns.servers import ZONE

KEY = (f"a.{ZONE}", "A")
ONE = RecordSet(300, ("192.0.2.1",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / f"{ZONE}.zone").write_text(nameserver.empty_zone(ZONE))
    return tmp_path


def files(folder: Path, checkzone: str = "named-checkzone") -> ZoneFiles:
    return ZoneFiles(folder, checkzone, ())


def serial(folder: Path) -> int:
    return int(files(folder).read(ZONE)[ZONE, "SOA"].values[0].split()[2])


@pytest.mark.parametrize(("serial", "following"), [(1, 2), (0xFFFFFFFF, 1), (0x7FFFFFFF, 0x80000000)])
def test_serials_go_round(serial: int, following: int) -> None:
    assert next_serial(serial) == following


def test_a_transaction_is_a_new_file_with_the_next_serial(folder: Path) -> None:
    before = serial(folder)
    files(folder).swap(ZONE, [Swap(KEY, None, ONE)])
    assert files(folder).get(ZONE, KEY) == ONE and serial(folder) == before + 1
    assert [path.name for path in folder.iterdir() if ".zone" in path.name] == [f"{ZONE}.zone"]


def test_a_condition_alone_writes_nothing(folder: Path) -> None:
    files(folder).swap(ZONE, [Swap(KEY, None, ONE)])
    before = (folder / f"{ZONE}.zone").read_bytes()
    files(folder).swap(ZONE, [Swap(KEY, ONE, ONE)])
    assert (folder / f"{ZONE}.zone").read_bytes() == before
    with pytest.raises(Conflict, match="changed since it was observed"):
        files(folder).swap(ZONE, [Swap(KEY, None, ONE)])


def test_what_the_checker_refuses_leaves_the_file_as_it_was(folder: Path) -> None:
    path = folder / f"{ZONE}.zone"
    files(folder).swap(ZONE, [Swap(KEY, None, ONE)])
    before = path.read_bytes()
    alias = RecordSet(300, ("elsewhere.example.",))
    with pytest.raises(Permanent, match=r"named-checkzone refuses what would be written: .*CNAME"):
        files(folder).swap(ZONE, [Swap((KEY[0], "CNAME"), None, alias)])
    assert path.read_bytes() == before
    assert not [p for p in folder.iterdir() if p.name.startswith(f".{ZONE}.") and p.suffix != ".guard"]


def test_every_type_is_written_so_that_it_reads_the_same(folder: Path) -> None:
    values = {
        (f"t.{ZONE}", "TXT"): RecordSet(60, ('"with \\"quotes\\"" "and; semicolon"',)),
        (f"*.{ZONE}", "AAAA"): RecordSet(60, ("2001:db8::1",)),
        (ZONE, "MX"): RecordSet(60, ("10 mail.example.",)),
        (ZONE, "CAA"): RecordSet(60, ('0 issue "ca.example"',)),
        (f"_x._tcp.{ZONE}", "SRV"): RecordSet(60, ("1 2 3 host.example.",)),
    }
    files(folder).swap(ZONE, [Swap(key, None, value) for key, value in values.items()])
    found = files(folder).read(ZONE)
    assert {key: found[key] for key in values} == values
    assert written(ZONE, found) != (folder / f"{ZONE}.zone").read_text()  # the next serial


def test_writers_take_turns(folder: Path) -> None:
    errors: list[BaseException] = []

    def write(n: int) -> None:
        try:
            files(folder).swap(ZONE, [Swap((f"h{n}.{ZONE}", "A"), None, ONE)])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and sum(key[0].startswith("h") for key in files(folder).read(ZONE)) == 5


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "no such zone file; create it"), ("rubbish", "not a zone file"), ("\xff", "not a zone file")],
)
def test_a_file_that_is_no_zone_is_said_to_be_none(folder: Path, content: str | None, why: str) -> None:
    path = folder / f"{ZONE}.zone"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(Permanent, match=why):
        files(folder).read(ZONE)


def test_a_missing_checker_stops_the_write(folder: Path) -> None:
    with pytest.raises(Permanent, match="no such program"):
        files(folder, "/nowhere/named-checkzone").swap(ZONE, [Swap(KEY, None, ONE)])
    assert files(folder).get(ZONE, KEY) is None


def test_a_writer_that_is_killed_leaves_the_former_file(folder: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from reconcilers.providers.dns.zonefile import ZoneFiles\n"
        "from reconcilers.providers.dns.records import RecordSet, Swap\n"
        "Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)\n"
        "ZoneFiles(Path(sys.argv[1]), 'named-checkzone', ()).swap(\n"
        "    sys.argv[2], [Swap((f'a.{sys.argv[2]}', 'A'), None, RecordSet(300, ('192.0.2.1',)))])\n"
    )
    before = (folder / f"{ZONE}.zone").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), ZONE], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == -9
    assert (folder / f"{ZONE}.zone").read_bytes() == before
    files(folder).swap(ZONE, [Swap(KEY, None, ONE)])
    assert files(folder).get(ZONE, KEY) == ONE
    assert not [p for p in folder.iterdir() if p.name.startswith(f".{ZONE}.") and p.suffix != ".guard"]


def test_a_guard_that_is_held_is_temporary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr("reconcilers.providers.whole_files.TURN_WAIT_S", 0.05)
    with (folder / f".{ZONE}.guard").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Temporary, match="held by another process"):
            files(folder).swap(ZONE, [Swap(KEY, None, ONE)])
