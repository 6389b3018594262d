"""What writers should not do, and do: nothing of it is lost, archived by mistake, or holds up the others."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tarfile
import threading
import zlib
from pathlib import Path

import pytest

from tests.pusher.conftest import AT_ONCE, DAY, ROOT, Bucket, Pusher, Spool, Start

NOBODY = 65534
SPARSE_BYTES = 2 << 30


def _all_but(spool: Spool, left: set[str], pusher: Pusher) -> None:
    pusher.until(lambda: set(spool.files()) == left, f"only {left} are left")


def test_odd_things_in_the_spool_stay_and_hold_up_nothing(
    bucket: Bucket, spool: Spool, start: Start, tmp_path: Path
) -> None:
    day = spool.folder / "ndt7" / DAY
    secret = tmp_path / "secret"
    secret.write_bytes(b"not an experiment's")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x").write_bytes(b"not an experiment's")
    day.mkdir(parents=True)
    (day / "link").symlink_to(secret)
    (day / "dangling").symlink_to("nowhere")
    (day / "folder").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(day / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(day, os.O_PATH)
    listener.bind(f"/proc/self/fd/{folder}/socket")  # a path of at most 107 bytes
    os.close(folder)
    os.mknod(day / "device", 0o600 | 0o020000, os.makedev(1, 5))
    spool.write(f"{DAY}/good", b"good")
    pusher = start(*AT_ONCE).ready()
    spool.write(f"{DAY}/later", b"later")
    odd = {f"ndt7/{DAY}/{name}" for name in ("link", "dangling", "folder", "fifo", "socket", "device")}
    _all_but(spool, odd, pusher)
    assert sorted(bucket.members()) == [(f"{DAY}/good", b"good"), (f"{DAY}/later", b"later")]
    assert pusher.metric("pusher_files_ignored_total", reason="link") >= 3
    assert pusher.metric("pusher_files_ignored_total", reason="kind") >= 3
    assert pusher.stop() == 0
    assert secret.exists() and (tmp_path / "elsewhere/x").exists()
    listener.close()


NAMES = [
    *(
        b"a\nb.json",
        b"n" * 255,
        b"\xff\xfe",
        "é".encode(),
        b"a b",
        b".hidden",
        b"-rf",
        b"a..b",
        b"%00",
        b"\x01",
        b"'\"\\",
    ),
    *(b"x.json ", b"{}", b"*", b"sealed 1"),
]


def test_any_name_is_archived_as_it_is(bucket: Bucket, spool: Spool, start: Start) -> None:
    folders = [b"2026/11/22", b"2026/11/22/\xff\n", b"odd\nday/\xfe/x", b"", b"d" * 255 + b"/" + b"e" * 255]
    wanted = []
    for n, name in enumerate(NAMES * 2):
        whole = b"/".join(
            part for part in (folders[n % len(folders)], name + b"%d" % n if len(name) < 250 else name) if part
        )
        path = spool.folder / "ndt7" / os.fsdecode(whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % n)
        wanted.append(whole)
    pusher = start(*AT_ONCE).ready()
    _all_but(spool, set(), pusher)
    found = [os.fsencode(name.encode(errors="surrogateescape")) for name, _ in bucket.members()]
    assert sorted(found) == sorted(set(wanted))
    assert pusher.metric("pusher_strange_filenames_total") >= len(NAMES)
    assert pusher.stop() == 0
    assert all(re.fullmatch(r"[^\x00-\x1f]+\.tgz", name) for name in bucket.names())


def test_a_large_file_of_holes_is_archived_in_little_memory(
    bucket: Bucket, spool: Spool, start: Start, tmp_path: Path
) -> None:
    size = SPARSE_BYTES
    path = spool.write(f"{DAY}/sparse", b"")
    os.truncate(path, size)
    pusher = start(*AT_ONCE).ready()
    _all_but(spool, set(), pusher)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pusher.process.pid}/status").read_text())
    assert peak is not None and int(peak[1]) < 200_000
    assert pusher.stop() == 0
    (name,) = bucket.names()
    reader, seen, first = zlib.decompressobj(31), 0, b""
    data = bucket.read(name)
    while data:
        piece = reader.decompress(data, 1 << 22)
        first, seen = first or piece[:2048], seen + len(piece)
        data = reader.unconsumed_tail
    assert reader.eof
    assert seen == 3 * 512 + size + 1024
    assert tarfile.TarInfo.frombuf(first[1024:1536], "utf-8", "strict").size == size


def test_a_file_that_cannot_be_opened_or_deleted_is_told_and_stays(bucket: Bucket, spool: Spool, start: Start) -> None:
    """Without the rights to overrule permissions and to take leases; some files are another user's."""
    os.chown(spool.write(f"{DAY}/foreign", b"theirs"), NOBODY, NOBODY)
    spool.write(f"{DAY}/own", b"ours")
    spool.write(f"{DAY}/unreadable", b"secret").chmod(0)
    spool.write("2026/11/21/undeletable", b"stays").parent.chmod(0o555)
    without = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    words = (*AT_ONCE, "-max_file_age=300ms", "-cleanup_interval=300ms", "-cleanup_interval_max=300ms")
    pusher = start(*words, by=without).ready()
    _all_but(spool, {f"ndt7/{DAY}/unreadable", "ndt7/2026/11/21/undeletable"}, pusher)
    pusher.until(lambda: pusher.metric("pusher_file_remove_errors_total") >= 2, "two files cannot be deleted")
    assert pusher.metric("pusher_file_open_errors_total") >= 1
    assert pusher.stop() == 0
    again = start(*words, by=without).ready()
    again.until(lambda: again.metric("pusher_file_remove_errors_total") >= 2, "two files cannot be deleted")
    wanted = [("2026/11/21/undeletable", b"stays"), (f"{DAY}/foreign", b"theirs"), (f"{DAY}/own", b"ours")]
    assert sorted(bucket.members()) == wanted, "what is stored is not packed again because it cannot be deleted"
    assert again.stop() == 0


def test_a_writer_that_grows_and_shrinks_files_loses_nothing_that_it_closed(
    bucket: Bucket, spool: Spool, start: Start
) -> None:
    pusher = start("-archive_wait_time_min=0s", "-archive_wait_time_expected=1ms", "-archive_wait_time_max=2ms").ready()
    done = threading.Event()
    path = spool.folder / "ndt7" / DAY / "restless"

    def restless() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        for n in range(300):
            with path.open("ab") as file:
                file.write(b"%03d\n" % n * 2000)
            if n % 7 == 0:
                os.truncate(path, 4000) if path.exists() else None
        done.set()

    def truncating() -> None:
        try:
            restless()
        except FileNotFoundError:  # it was stored and deleted between two steps
            truncating()

    thread = threading.Thread(target=truncating)
    thread.start()
    thread.join()
    _all_but(spool, set(), pusher)
    assert pusher.stop() == 0
    assert bucket.members() and all(len(data) % 4 == 0 for _, data in bucket.members())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("-datatype=missing",), r"/missing is no folder; make one"),
        (("-datatype=Ndt7",), "is not made of a-z and 0-9"),
        (("-prometheusx.listen-address=nonsense",), "give HOST:PORT"),
        (("-state_directory=/proc/nowhere",), "No such file or directory"),
    ],
)
def test_what_a_start_fails_at_is_one_line(spool: Spool, start: Start, words: tuple[str, ...], why: str) -> None:
    failed = start(*words)
    assert failed.ended() == 1
    errors = [line for line in failed.said.splitlines() if " ERROR: " in line]
    assert len(errors) == 1 and re.search(why, errors[0]), failed.said
    assert "Traceback" not in failed.said


def test_one_datatype_has_one_pusher(spool: Spool, start: Start) -> None:
    first = start().ready()
    second = start()
    assert second.ended() == 1
    assert "is in use by another pusher" in second.said
    assert first.stop() == 0


def test_a_dry_run_and_help_end_at_once(spool: Spool, start: Start) -> None:
    assert start("-dry_run").ended() == 0
    done = subprocess.run([sys.executable, "-m", "node.pusher", "-help"], cwd=ROOT, capture_output=True, check=True)
    assert b"-archive_size_threshold  [ARCHIVE_SIZE_THRESHOLD]" in done.stdout
    wrong = subprocess.run([sys.executable, "-m", "node.pusher", "-no"], cwd=ROOT, capture_output=True, check=False)
    assert wrong.returncode == 2


def test_an_empty_file_that_was_only_found_is_taken_when_it_has_been_there_for_a_while(
    bucket: Bucket, spool: Spool, start: Start
) -> None:
    path = spool.write(f"{DAY}/old", b"")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    pusher = start(*AT_ONCE).ready()
    _all_but(spool, set(), pusher)
    assert bucket.members() == [(f"{DAY}/old", b"")]
