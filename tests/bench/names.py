"""What a zone of 28,709 records costs: its first apply, and a plan that finds nothing to do, against a real BIND.

Processor time of the command: a name server on the same machine, and whoever else works on it, do not count.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from services.local import demo_edits
from tests.bench.measure import MLAB, RUNS, SOURCE, row
from tests.e2e.checkout import Checkout

ENV = "sandbox"


def rows(folder: Path) -> None:
    """The fleet's own zone, in one environment without the parts of the platform that take long to start."""
    root, state = folder / "names", Path(tempfile.mkdtemp(prefix="mlab-bench-state-"))
    demo_edits.clone(SOURCE, root)
    checkout = Checkout(root, state)
    at = ("--env", ENV, "--target", "dns", "-q", "--root", str(root), "--state", str(state))
    try:
        up = checkout.mlab("up", "--light", "--env", ENV)
        assert up.status == 0, up.err
        row("first apply of a zone, processor time", *_cpu(MLAB, "apply", "--yes", *at), "< 30 s")
        runs = [_cpu(MLAB, "plan", *at) for _ in range(RUNS)]
        seconds = statistics.median(cpu_s for cpu_s, _ in runs)
        row("plan of a zone, no change, processor time", seconds, max(mib for _, mib in runs), "< 5 s")
    finally:
        checkout.mlab("down")
        shutil.rmtree(state, ignore_errors=True)


def _cpu(*words: str) -> tuple[float, float]:
    """Processor seconds and peak resident MiB of a command that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, after.ru_maxrss / 1024
