"""When no descriptor is left: what only lacks one waits for it, at the end, too."""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import prometheus_client
import pytest

from node.pusher import finder
from node.pusher import lane as lanes
from node.pusher.meters import Meters
from node.pusher.tree import Tree
from tests.pusher.conftest import Bucket, Spool
from tests.pusher.lanes import SOON, Begin


def _lacking(real: Callable[..., Any], times: int) -> Callable[..., Any]:
    """The same, after so many times for each file that no descriptor was left."""
    left: Counter[str] = Counter()

    def act(tree: Tree, name: str) -> Any:
        left[name] += 1
        if left[name] <= times:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(tree, name)

    return act


@pytest.mark.parametrize(("step", "ratio"), [("open", 1.0), ("unlink", 1.0), ("unlink", 0.0)])
def test_at_the_end_what_only_lacks_a_descriptor_is_waited_for(
    bucket: Bucket, spool: Spool, lane: Begin, step: str, ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "ANEW_S", 0.01)
    running = lane(ratio=ratio)
    files = [f"2026/11/{day}/file" for day in (20, 21)]
    for name in files:
        spool.write(name, name.encode())
    monkeypatch.setattr(Tree, step, _lacking(getattr(Tree, step), lanes.LAST_TRIES + 2))
    running.offer(*files)
    running.finish()
    assert spool.files() == []
    assert len(bucket.names()) == 2 * ratio
    assert spool.state() == []
    assert running.count("files_skipped_total") == (0 if ratio else 2)


def test_the_last_search_waits_for_descriptors_and_overlooks_no_folder(
    bucket: Bucket, spool: Spool, lane: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = lane()
    for day in (20, 21, 22):
        spool.write(f"2026/11/{day}/file", b"x")
    real, refusals = os.open, iter([errno.EMFILE, errno.ENFILE])

    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "21" and (number := next(refusals, 0)):
            raise OSError(number, os.strerror(number), path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opened)
    search = finder.Finder([running.lane], SOON, Meters(prometheus_client.CollectorRegistry(), ("ndt7",)))
    search.last(time.monotonic() + 60)
    running.finish()
    assert spool.files() == [] and len(bucket.members()) == 3
