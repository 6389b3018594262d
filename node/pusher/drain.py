"""The end, in order and in time: upload what there is, go on collecting while others in the pod finish, then take the
last files, upload them, and leave as soon as nothing is left; never later than the deadline."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from node.pusher.finder import Finder
from node.pusher.lane import Lane
from node.pusher.settings import Times
from node.pusher.watching import Watch

_LOG = logging.getLogger("pusher")


def drain(
    lanes: Sequence[Lane], watches: Sequence[Watch], finders: Sequence[Finder], times: Times, urgent: threading.Event
) -> list[str]:
    """What was left, one line a datatype; empty: nothing. `urgent`: do not wait for others."""
    began = time.monotonic()
    if times.collect_s and not urgent.is_set():
        for lane in lanes:
            lane.flush()
        _LOG.info("collecting for another %g s, then the last upload", times.collect_s)
        urgent.wait(times.collect_s)
    deadline = time.monotonic() + times.drain_s
    for watch in watches:
        watch.stop()
    for finder in finders:
        finder.stop()
    for lane in lanes:
        # What is known already goes first: a search now would only find it once more.
        lane.wait_empty(deadline)
    for finder in finders:
        finder.last(deadline)
    for lane in lanes:
        lane.finish()
    left = []
    for lane in lanes:
        if not lane.finished.wait(max(0.0, deadline - time.monotonic())):
            bundles, files = lane.left()
            left.append(
                f"{lane.of.name}: {bundles} bundles are not done and {files} files not packed; all are on the disk"
            )
    _LOG.info("the end took %.2f s", time.monotonic() - began)
    return left
