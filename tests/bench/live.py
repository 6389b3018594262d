"""What the verbs cost against the real servers of the platform on this machine, and what an idle loop costs."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.local import demo_edits
from tests.bench.measure import MLAB, SOURCE, report, row
from tests.e2e.checkout import Checkout
from tests.loop.process import Running

ENVIRONMENTS = ("sandbox", "staging", "production")
PASSES = 5


@contextmanager
def platform(folder: Path, environments: Sequence[str]) -> Iterator[Checkout]:
    """These environments, in a state folder of their own."""
    root, state = folder / "live", Path(tempfile.mkdtemp(prefix="mlab-bench-state-"))
    demo_edits.clone(SOURCE, root)
    checkout = Checkout(root, state)
    try:
        chosen = [word for env in environments for word in ("--env", env)]
        up = checkout.mlab("up", *chosen)
        assert up.status == 0, up.err
        yield checkout
    finally:
        checkout.mlab("down")
        shutil.rmtree(state, ignore_errors=True)


def sandbox(folder: Path) -> None:
    """The same rows for one environment, where there is no room for the servers of three."""
    rows(folder, ("sandbox",))


def rows(folder: Path, environments: Sequence[str] = ENVIRONMENTS) -> None:
    """First apply once, since it is the first one only once; the rest as medians."""
    last = environments[-1]
    with platform(folder, environments) as checkout:
        at = ("--root", str(checkout.root), "--state", str(checkout.state))
        for env in environments:
            _, planned = checkout.plan(env)
            words = (MLAB, "apply", "--env", env, "--yes", "-q", "--digest", planned["digest"], *at)
            report(f"first apply of {env}", words, "< 60 s", runs=1, warm=False)
        for env in environments:
            report(f"plan of {env}, no change", (MLAB, "plan", "--env", env, "-q", *at), "< 5 s, < 400 MiB")
        report(f"drift of {last}", (MLAB, "drift", "--env", last, "-q", *at), "< 400 MiB", runs=3)
        chosen = [word for env in environments for word in ("--env", env)]
        report("status", (MLAB, "status", *chosen, *at), "< 400 MiB", runs=3)
        report(f"apply of {last}, no change", (MLAB, "apply", "--env", last, "--yes", "-q", *at), "", runs=3)
        _loop(checkout)


def _loop(checkout: Checkout) -> None:
    """A pass of all scopes of sandbox with nothing to do, and the memory of the loop's own process."""
    running = Running(checkout, checkout.state, ("--target", "*", "--interval", "1", "--git-interval", "1")).start()
    try:
        running.until(lambda: running.get("/readyz").status_code == 200)
        head = subprocess.run(
            ["git", "-C", str(checkout.root), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
        ).stdout.strip()
        running.until(lambda: running.settled(head))
        found = {target: _passes(running, target) for target in running.status()["scopes"]}
        assert running.process is not None
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
        row("loop, slowest scope's pass, nothing to do", max(found.values()), peak, "< 2 s, < 250 MiB")
    finally:
        running.stop()


def _passes(running: Running, target: str) -> float:
    """The mean of the next passes' observing and planning, out of the loop's own metrics."""

    def spent() -> tuple[float, float]:
        name = "mlab_reconcile_phase_duration_seconds"
        passes = running.metric(f"{name}_count", scope=target, phase="observe")
        return running.metric(f"{name}_sum", scope=target), passes

    before, first = spent()
    running.until(lambda: spent()[1] >= first + PASSES)
    after, last = spent()
    return (after - before) / (last - first)
