"""kill -9 in the middle of a batch, with real processes: no `finally` tidies up, the next run does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconcilers.core.model import Result
from reconcilers.providers.monitoring import files
from tests.conformance import suite
from tests.fleets import CHECKOUT
from tests.monitoring import servers
from tests.monitoring.test_conformance import Harness

PROGRAM = """
import os, signal, sys
from pathlib import Path
from reconcilers.providers.monitoring import files
from tests.conformance import suite
from tests.monitoring import servers
from tests.monitoring.test_conformance import Harness

pair = servers.Pair(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
left = int(sys.argv[4])
real = Path.replace

def replace(self, target):
    # Between the temporary file's fsync and its rename: the worst moment for a file.
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)

Path.replace = replace
suite.apply(pair.provider(), Harness.second)
"""


@pytest.mark.parametrize("rename", [1, 2, 3, 4, 5, 7])
def test_a_run_that_is_killed_at_a_rename_is_healed_by_the_next(rename: int, pair: servers.Pair) -> None:
    harness = Harness(pair)
    suite.applied(harness, harness.first)
    arguments = [str(pair.directory), pair.prometheus_url, pair.alertmanager_url, str(rename)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, cwd=CHECKOUT, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert _left(pair.directory), "the killed run left something to tidy up"
    suite.applied_after_crash(harness, harness.second)
    assert suite.summary(suite.plan(harness.provider(), harness.second)) == []
    assert not _left(pair.directory)
    assert pair.groups() == {"a", "c"}
    harness.close()


def _left(directory: Path) -> list[str]:
    names = (files.JOURNAL, files.STAGE, files.TEMPORARY)
    return [str(path) for path in directory.rglob(".mlab-*") if path.name.startswith(names)]


def test_the_program_of_this_test_applies_when_it_is_not_killed(pair: servers.Pair) -> None:
    harness = Harness(pair)
    result = suite.apply(harness.provider(), harness.first)
    assert {o.result for o in result.outcomes} == {Result.APPLIED}
    harness.close()
