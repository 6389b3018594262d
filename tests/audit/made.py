"""Spools, bundles and buckets as a test wants them, made without the programs that are under test."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from node.pusher import journal
from node.pusher.member import Member

EXPERIMENT = "ndt"
NODE = "mlab1-abc01"
DAY = "2026/11/25"
Files = dict[str, bytes]


def tar(files: Files, datatype: str = "ndt7") -> bytes:
    """As pusher makes them, by the standard library."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.pax_headers = {"MLAB.datatype": datatype}
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def lines(files: Files, datatype: str) -> tuple[bytes, bytes]:
    """Data and index, as jostler makes them."""
    data, index = [], []
    for name, content in files.items():
        where = f"/var/spool/{EXPERIMENT}/{datatype}/{name}"
        archiver = json.dumps({"Version": "v1", "GitCommit": "x", "ArchiveURL": "gs://x", "Filename": where})
        line = f'{{"Date":"2026-11-25","Archiver":{archiver},"Raw":'.encode() + content.removesuffix(b"\n") + b"}"
        data.append(line)
        index.append(json.dumps({"Filename": where, "Size": len(line), "TimeAdded": "x"}).encode())
    return gzip.compress(b"\n".join(data)), gzip.compress(b"\n".join(index))


@dataclass(slots=True)
class Made:
    """A spool, and a folder with the objects of its bucket."""

    root: Path

    @property
    def spool(self) -> Path:
        return self.root / EXPERIMENT

    @property
    def bucket(self) -> Path:
        return self.root / "bucket"

    def file(self, name: str, content: bytes) -> Path:
        """A file of the spool; the name begins with the datatype."""
        path = self.spool / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def object(self, name: str, content: bytes) -> str:
        path = self.bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def tar(self, number: int, files: Files, datatype: str = "ndt7", node: str = NODE) -> str:
        """A stored bundle; its object's name."""
        return self.object(tar_name(number, datatype, node), tar(files, datatype))

    def lines(self, number: int, files: Files, datatype: str) -> tuple[str, str]:
        """A stored bundle and its index."""
        data, index = lines(files, datatype)
        names = line_names(number, datatype)
        return self.object(names[0], data), self.object(names[1], index)

    def journal(self, name: str, files: Files, *, stored: bool, datatype: str = "ndt7") -> Path:
        """A sealed journal of a bundle."""
        folder = self.spool / ".pusher" / datatype
        folder.mkdir(parents=True, exist_ok=True)
        members = []
        for below, content in files.items():
            there = self.spool / datatype / below
            status = there.stat() if there.exists() else None
            members.append(
                Member(
                    below,
                    status.st_dev if status else 1,
                    status.st_ino if status else 1,
                    len(content),
                    status.st_mtime_ns if status else 1,
                )
            )
        made = journal.Object(name, len(tar(files, datatype)), 1, "content")
        path = folder / f"{name.rpartition('/')[2]}{journal.SUFFIX}"
        entry = journal.Entry(path, DAY, 1, (made,), tuple(members))
        path.write_bytes(journal.encode(entry) + (b"stored\n" if stored else b""))
        return path

    def expect(self, files: Files) -> Path:
        """The list of what was written; names begin with the datatype."""
        path = self.root / "expected"
        with path.open("w") as file:
            for name, content in files.items():
                line = {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                file.write(json.dumps(line) + "\n")
        return path


def tar_name(number: int, datatype: str = "ndt7", node: str = NODE) -> str:
    return f"{EXPERIMENT}/{datatype}/{DAY}/20261125T120000.{number:06d}Z-{datatype}-{node}-{EXPERIMENT}.tgz"


def line_names(number: int, datatype: str) -> tuple[str, str]:
    base = f"20261125T120000.{number:06d}Z-{datatype}-{NODE}-{EXPERIMENT}"
    above = f"autoload/v1/{EXPERIMENT}"
    return f"{above}/{datatype}/{DAY}/{base}-data.jsonl.gz", f"{above}/index1/{DAY}/{base}-index1.jsonl.gz"


def numbered(first: int, last: int, suffix: str = "") -> Files:
    """Files of one day, each with a content of its own."""
    return {f"{DAY}/{number}{suffix}": os.fsencode(f"content of {number}\n") * 10 for number in range(first, last)}
