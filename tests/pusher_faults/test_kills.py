"""`kill -9` at every fault point: what the next run makes of it is as if nothing had happened."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from node.pusher import faults
from tests.pusher_faults.rig import Rig, running

pytestmark = pytest.mark.timeout(3600)
NIGHTLY = bool(os.environ.get("MLAB_NIGHTLY"))
OLD_S = 26 * 3600


def old_directory(rig: Rig, number: int) -> None:
    """One that is empty and old enough to be removed."""
    made = rig.spool / "ndt7" / "2025" / "01" / f"{number}"
    made.mkdir(parents=True)
    then = made.stat().st_mtime - OLD_S
    os.utime(made, (then, then))


@pytest.mark.parametrize("half", [0, 1])
def test_a_kill_at_each_point_loses_and_doubles_nothing(rig: Rig, half: int) -> None:
    for number, point in enumerate(faults.POINTS[half::2]):
        old_directory(rig, number)
        rig.start(MLAB_FAULT_AT=f"{point}:0")
        rig.killed()
    rig.start()
    rig.ready()
    rig.writer.stop()
    rig.end()
    rig.account()


@pytest.mark.parametrize("seed", range(10 if NIGHTLY else 1))
def test_kills_at_any_moment_lose_and_double_nothing(store: str, tmp_path: Path, seed: int) -> None:
    drawn = random.Random(seed)
    with running(Rig(tmp_path, store, seed=seed)) as rig:
        for number in range(100 if NIGHTLY else 3):
            old_directory(rig, number)
            rig.start(MLAB_FAULT_AT=str(int(drawn.expovariate(1 / 60))))
            rig.killed()
        rig.start()
        rig.ready()
        rig.writer.stop()
        rig.end()
        rig.account()
