"""Every system call that writes, renames, syncs, uploads or deletes is one that a kill can come before and after.

strace lists the calls of each thread, and the fault points that it passes show among them, as writes to their log. Two
calls that leave something behind have a point between them, or a kill between them was never tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from node.pusher import faults
from tests.pusher_faults.rig import Rig
from tests.pusher_faults.test_kills import old_directory

_CALLS = (
    "openat,openat2,creat,write,writev,pwrite64,pwritev,sendfile,copy_file_range,rename,renameat,renameat2,link,linkat,"
    "unlink,unlinkat,rmdir,truncate,ftruncate,fallocate,fsync,fdatasync,sync_file_range,sendto,sendmsg"
)
_WHOLE = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<rest>.*)\) += (?P<result>\S+)")
_BEGUN = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<rest>.*) <unfinished \.\.\.>$")
_POINT = "points"
_BY_DESCRIPTOR = frozenset(("write", "writev", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate"))
_NOTHING_IN_IT = re.compile(r"/\.pusher/\w+/reserve")
"""Room that is kept for journals; no file depends on it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One that leaves something behind, or a fault point."""

    name: str
    what: str


def calls(trace: Path, spool: Path) -> dict[str, list[Call]]:
    """Of each thread, in order."""
    made: dict[str, list[Call]] = {}
    for line in trace.read_text(errors="replace").splitlines():
        matched = _WHOLE.match(line) or _BEGUN.match(line)
        if matched is None or matched.groupdict().get("result") == "-1":
            continue
        for call in _lasting(matched["call"], matched["rest"], str(spool)):
            made.setdefault(matched["thread"], []).append(call)
    return made


def _lasting(name: str, rest: str, spool: str) -> Iterator[Call]:
    first = re.match(r"\d+<(?P<path>[^>]*)>", rest)
    path = first["path"] if first else ""
    if path.endswith(f"/{_POINT}"):
        if name == "write":
            yield Call(_POINT, rest)
    elif name in ("sendto", "sendmsg"):
        if re.search(r'"POST /(resumable/)?upload/', rest):
            yield Call("upload", re.sub(r"\d+<.*?>", "", rest)[:60])
    elif _NOTHING_IN_IT.search(rest):
        return
    elif name in ("openat", "openat2", "creat"):
        if spool in rest and re.search("O_CREAT|O_TRUNC", rest):
            yield Call("create", rest)
    elif path.startswith(spool) or (name not in _BY_DESCRIPTOR and spool in rest):
        yield Call(name, path if name in _BY_DESCRIPTOR else rest)


def pairs(of: list[Call]) -> Iterator[str]:
    """Neighbours without a point between them, names of files left out; several writes to one file are one."""
    for one, after in pairwise(of):
        if _POINT not in (one.name, after.name) and one != after:
            shown = (f"{call.name} {call.what}" for call in (one, after))
            yield " | ".join(re.sub(r"/\S*/|[0-9A-F]{4,}[0-9A-FTZ.]*", "…", text)[:120] for text in shown)


def test_no_call_that_lasts_is_without_a_point_before_the_next(rig: Rig, tmp_path: Path) -> None:
    trace, points = tmp_path / "trace", tmp_path / _POINT
    rig.prefix = ["strace", "-D", "-f", "--seccomp-bpf", "-y", "-qq", "-s", "200", "-o", str(trace)]
    rig.prefix = [*rig.prefix, "-e", f"trace={_CALLS}"]
    old_directory(rig, 1)
    rig.start(MLAB_FAULT_LOG=str(points))
    rig.ready()
    rig.until(lambda: len(rig.custody.stored) > 8 and len(rig.writer.bad) > 1, "it stores")
    rig.writer.stop()
    rig.end()
    rig.account()
    seen = calls(trace, rig.spool)
    assert sorted({pair for of in seen.values() for pair in pairs(of)}) == []
    names = {call.name for of in seen.values() for call in of}
    assert names >= {"create", "write", "fsync", "fdatasync", "upload", _POINT}, "strace saw what there is to see"
    assert names & {"unlink", "unlinkat"} and names & {"rename", "renameat", "renameat2"}
    passed = {line.split(" ")[1].partition(":")[0] for line in points.read_text().splitlines()}
    assert passed == set(faults.POINTS), "each of them was among the calls"
