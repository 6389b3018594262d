"""Bundles are to the byte what Go's archive/tar makes, and what tar and Python read; whatever happens to a file."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.pusher import reading, tar
from node.pusher.content import Content

METADATA = {"MLAB.datatype": "ndt7", "MLAB.server.name": "mlab1-abc01"}
GO_METADATA = {**METADATA, "A": "b=c", "long": "v" * 90}
T = 1_795_368_559_499_999_999
GO = [
    (b"2026/11/22/x.json", T, "93e54088b46974bbe2ba4438636faa31"),  # pragma: allowlist secret
    (b"2026/11/22/x.json", T + 1, "3a31fc89f73e9f6a04f5c1c555ec7fc1"),  # pragma: allowlist secret
    (b"2026/11/22/x.json", -5 * 10**9, "bc57ab8bab41cc7a3af04bf790f1056e"),  # pragma: allowlist secret
    (b"2026/11/22/x.json", 9 * 10**18, "9a302d6601f57d9427bb4f1cf722bfbf"),  # pragma: allowlist secret
    (b"root.txt", T, "cc83ce33f74250bcd819229af6c2882b"),  # pragma: allowlist secret
    (b"2026/11/22/" + b"a" * 95 + b".json", T, "9a0690dbb6a55433a08e120e106dbb8a"),  # pragma: allowlist secret
    ("2026/11/22/é.json".encode(), T, "86715e2bb3f2bfbb012b3ef92a5f1281"),  # pragma: allowlist secret
    (b"2026/11/22/a\nb", T + 1, "67ad6f98d87384ed22b600b39b84c137"),  # pragma: allowlist secret
    (b"2026/11/22/\xff\xfe.bin", T, "3586e4cbdb7000e73ba3a8b46c01e800"),  # pragma: allowlist secret
    (b"d" * 99 + b"/x", T, "a82434879cc7c0ff6650293891ded65d"),  # pragma: allowlist secret
    (b"e" * 83 + b"/" + b"f" * 40, T, "a7f8e38b69ba91cceee3f8d26a20a368"),  # pragma: allowlist secret
]
"""Name, time, and SHA-256 of what Go 1.26's archive/tar writes: GO_METADATA, the content `hello`, the end."""


@pytest.mark.parametrize(("name", "mtime_ns", "digest"), GO)
def test_a_member_is_to_the_byte_that_of_go(name: bytes, mtime_ns: int, digest: str) -> None:
    made = tar.Headers(GO_METADATA).of(os.fsdecode(name), 5, mtime_ns) + b"hello" + bytes(507 + 1024)
    assert hashlib.sha256(made).hexdigest().startswith(digest)


class Bundle:
    """One that is packed by hand."""

    def __init__(self, folder: Path, threshold: int = 10**9) -> None:
        self.folder = folder
        self.content = Content(folder / "bundle.tgz")
        self.packer = tar.Packer(self.content, tar.Headers(METADATA), threshold)

    def add(self, name: bytes, data: bytes, mtime_ns: int = T) -> None:
        path = self.folder / "member"
        path.write_bytes(data)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        self.take(name, path)

    def take(self, name: bytes, path: Path) -> None:
        with path.open("rb") as file:
            self.packer.add(os.fsdecode(name), file.fileno(), os.fstat(file.fileno()), 0)

    def finish(self) -> bytes:
        self.packer.finish()
        self.content.sync()
        with self.content.open() as file:
            data = file.read()
        assert len(data) == self.content.size
        return data


def read(data: bytes) -> list[tuple[bytes, bytes, int, dict[str, str]]]:
    """Name, content, time and metadata of each member, as Python reads them."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz", errorlevel=2, encoding="utf-8") as file:
        found = []
        for member in file:
            opened = file.extractfile(member)
            assert opened is not None
            assert (member.mode, member.uid, member.gid, member.uname, member.gname) == (0o666, 0, 0, "", "")
            more = {key: value for key, value in member.pax_headers.items() if key not in ("path", "mtime", "size")}
            found.append((os.fsencode(member.name), opened.read(), int(member.mtime), more))
        return found


NAMES = st.lists(
    st.binary(min_size=1, max_size=255).filter(lambda part: not {0, 47} & set(part) and part not in (b".", b"..")),
    min_size=1,
    max_size=4,
).map(b"/".join)


@settings(max_examples=60)
@given(
    members=st.lists(st.tuples(NAMES, st.binary(max_size=2000), st.integers(0, 2**33)), max_size=12),
    threshold=st.integers(1, 5000),
)
def test_python_reads_back_any_members(
    members: list[tuple[bytes, bytes, int]], threshold: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = Bundle(tmp_path_factory.mktemp("bundle"), threshold)
    for name, data, mtime in members:
        bundle.add(name, data, mtime * 10**9)
        bundle.packer.full()
    expected = [(name, data, mtime, METADATA) for name, data, mtime in members]
    assert read(bundle.finish()) == expected


def test_gnu_tar_reads_back_the_members(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path)
    chance = random.Random(1)
    members = {f"2026/11/22/{'n' * n}.json".encode(): chance.randbytes(n * 37) for n in range(1, 200, 7)}
    for name, data in members.items():
        bundle.add(name, data)
    (tmp_path / "read.tgz").write_bytes(bundle.finish())
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xzf", tmp_path / "read.tgz", "-C", out, "--warning=no-unknown-keyword"], check=True)
    assert {bytes(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.json")} == members


@pytest.mark.parametrize("size", [0, 511, 512, 513, reading.PIECE_BYTES, reading.PIECE_BYTES + 1, 3_000_000])
def test_a_file_of_any_size_is_one_member(tmp_path: Path, size: int) -> None:
    bundle = Bundle(tmp_path)
    data = random.Random(size).randbytes(size)
    bundle.add(b"2026/11/22/x", data)
    assert read(bundle.finish()) == [(b"2026/11/22/x", data, (T + 500_000_000) // 10**9, METADATA)]


@pytest.mark.parametrize("size", [2000, 3_000_000])
@pytest.mark.parametrize("change", ["grow", "shrink", "touch"])
def test_a_file_that_changes_while_it_is_read_leaves_no_trace(tmp_path: Path, size: int, change: str) -> None:
    bundle = Bundle(tmp_path)
    bundle.add(b"2026/11/22/before", b"before")
    path = tmp_path / "changing"
    path.write_bytes(random.Random(3).randbytes(size))
    with path.open("r+b") as file:
        status = os.fstat(file.fileno())
        if change == "grow":
            os.truncate(path, size + 1)
        elif change == "shrink":
            os.truncate(path, size - 1)
        else:
            os.utime(path, ns=(T, T + 1))
        with pytest.raises(reading.Changed):
            bundle.packer.add("2026/11/22/changing", file.fileno(), status, 0)
    bundle.add(b"2026/11/22/after", b"after")
    assert [member[:2] for member in read(bundle.finish())] == [
        (b"2026/11/22/before", b"before"),
        (b"2026/11/22/after", b"after"),
    ]


def test_the_threshold_is_on_compressed_bytes(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path, 300_000)
    bundle.add(b"2026/11/22/zeros", bytes(5_000_000))
    assert not bundle.packer.full()
    bundle.add(b"2026/11/22/noise", random.Random(4).randbytes(310_000))
    assert bundle.packer.full()


def test_a_bundle_ends_soon_after_the_threshold(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path, 200_000)
    chance, many = random.Random(5), 0
    while not bundle.packer.full():
        bundle.add(b"2026/11/22/%d" % many, chance.randbytes(700) + bytes(700))
        many += 1
    assert 200_000 < bundle.content.size < 203_000
    assert len(read(bundle.finish())) == many


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for turn in range(2):
        bundle = Bundle(tmp_path, 50_000)
        chance = random.Random(6)
        for n in range(60):
            bundle.add(b"2026/11/22/%d" % n, chance.randbytes(1500))
            bundle.packer.full()
        made.append(bundle.finish())
        assert len(made[turn]) > 50_000
    assert made[0] == made[1]


@pytest.mark.parametrize("metadata", [{"path": "x"}, {"": "x"}, {"a": "b\0"}, {"GNU.sparse.major": "1"}])
def test_metadata_that_readers_would_take_for_more_is_refused(metadata: dict[str, str]) -> None:
    assert tar.metadata_error(metadata)
    assert not tar.metadata_error(METADATA)
