"""A run that was killed after its journal: whatever is left of the bundle and of its files, each is stored once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.pusher import journal, tar, upload
from node.pusher.member import Member
from tests.pusher.conftest import DAY, Bucket, Spool
from tests.pusher.lanes import METADATA, Running, begin, datatype

NAMES = [f"{DAY}/{n}.json" for n in range(3)]
US = 1_795_373_112_034_001


class Killed:
    """What a run left: a journal, the bundle's file, its members."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        state = spool.folder / ".pusher/ndt7"
        books = journal.Journal(state)
        form = tar.Format("ndt", "ndt7", "mlab1-abc01", METADATA, 10**9)
        packer = form.begin(DAY, US, state / "bundle")
        members = []
        for name in NAMES:
            path = spool.write(name, name.encode())
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                packer.add(name, file.fileno(), status, US)
            members.append(Member(name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, US))
        packer.finish()
        packer.content.sync()
        (self.name,) = form.names(DAY, US)
        self.content = packer.content.path
        self.data = self.content.read_bytes()
        sealed = journal.Object(self.name, packer.content.size, packer.content.crc32c, self.content.name)
        self.entry = journal.Entry(books.path("bundle"), DAY, US, (sealed,), tuple(members))
        books.seal(self.entry)

    def go_on(self, client: upload.Bucket) -> Running:
        """The next run, to its end; every file that is left is offered as a search would."""
        running = begin(datatype(self.spool), client)
        running.offer(*(name.removeprefix("ndt7/") for name in self.spool.files()), closed=False)
        running.finish()
        assert self.spool.state() == []
        return running


@pytest.fixture
def killed(spool: Spool) -> Killed:
    return Killed(spool)


def _lose(killed: Killed) -> None:
    killed.content.unlink()


def _cut(killed: Killed) -> None:
    killed.content.write_bytes(killed.data[:-1])


def _break(killed: Killed) -> None:
    killed.content.write_bytes(killed.data[:50] + bytes([killed.data[50] ^ 1]) + killed.data[51:])


@pytest.mark.parametrize(
    ("damage", "how"),
    [(lambda _: None, "content"), (_lose, "repacked"), (_cut, "repacked"), (_break, "repacked")],
    ids=["whole", "lost", "cut", "broken"],
)
@pytest.mark.parametrize("stored", [False, True], ids=["not stored", "stored"])
def test_the_same_object_is_there_whatever_is_left_of_its_file(
    bucket: Bucket, client: upload.Bucket, killed: Killed, damage: Callable[[Killed], None], how: str, stored: bool
) -> None:
    damage(killed)
    if stored:
        bucket.wire.put(bucket.name, killed.name, killed.data)
    running = killed.go_on(client)
    assert bucket.names() == [killed.name]
    assert bucket.read(killed.name) == killed.data
    assert killed.spool.files() == []
    assert running.count("bundles_recovered_total", how=how) == 1


def test_what_was_stored_is_not_packed_again_when_bundle_and_a_file_are_gone(
    bucket: Bucket, client: upload.Bucket, killed: Killed
) -> None:
    bucket.wire.put(bucket.name, killed.name, killed.data)
    killed.content.unlink()
    killed.spool.write(NAMES[1], b"written to once more")
    running = killed.go_on(client)
    again = (NAMES[1], b"written to once more")
    assert sorted(bucket.members()) == sorted([*((name, name.encode()) for name in NAMES), again])
    assert killed.spool.files() == []
    assert running.count("bundles_recovered_total", how="stored") == 1


def test_what_was_not_stored_is_packed_anew_when_bundle_and_a_file_are_gone(
    bucket: Bucket, client: upload.Bucket, killed: Killed
) -> None:
    killed.content.unlink()
    killed.spool.write(NAMES[1], b"written to once more")
    running = killed.go_on(client)
    wanted = [(NAMES[0], NAMES[0].encode()), (NAMES[1], b"written to once more"), (NAMES[2], NAMES[2].encode())]
    assert sorted(bucket.members()) == wanted
    assert killed.spool.files() == []
    assert killed.name not in bucket.names()
    assert running.count("bundles_repacked_total") == 1


def test_a_store_that_cannot_say_is_asked_again_before_anything_is_packed_anew(
    bucket: Bucket, client: upload.Bucket, killed: Killed
) -> None:
    bucket.wire.put(bucket.name, killed.name, killed.data)
    killed.content.unlink()
    (killed.spool.folder / "ndt7" / NAMES[0]).unlink()
    bucket.fault(times=2, status=503)
    killed.go_on(client)
    assert bucket.names() == [killed.name] and killed.spool.files() == []


def test_what_is_proven_is_deleted_without_the_store(bucket: Bucket, client: upload.Bucket, killed: Killed) -> None:
    bucket.wire.put(bucket.name, killed.name, killed.data)
    with killed.entry.path.open("ab") as file:
        file.write(b"stored\n")
    (killed.spool.folder / "ndt7" / NAMES[0]).unlink()
    bucket.fault(times=-1, status=503)
    running = killed.go_on(client)
    assert killed.spool.files() == []
    assert running.count("retries_total") == 0


def test_a_torn_journal_gives_its_files_free(bucket: Bucket, client: upload.Bucket, killed: Killed) -> None:
    data = killed.entry.path.read_bytes()
    killed.entry.path.write_bytes(data[: len(data) // 2])
    killed.go_on(client)
    assert sorted(bucket.members()) == [(name, name.encode()) for name in NAMES]
    assert killed.name not in bucket.names() and not Path(killed.content).exists()
