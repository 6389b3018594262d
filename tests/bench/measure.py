"""Whole commands as cold processes: seconds of the clock and of processors, peak resident memory, median of runs.

The program is compiled first, as it is where it was installed: an environment that forbids Python to write bytecode
would have each process compile it anew. Where others work on the machine, the clock tells of them too.
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[2]
MLAB = str(Path(sys.executable).with_name("mlab"))
RUNS = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took: by the clock on the wall, of processors, and of memory at its peak."""

    seconds: float
    cpu_s: float
    peak_mib: float


_peaks: dict[str, float] = {}
"""The highest peak of each verb in this run of the benchmark."""


def begin() -> None:
    """Compile the program, and say what the columns mean and how busy the machine is."""
    for folder in ("reconcilers", "services"):
        compileall.compile_dir(SOURCE / folder, quiet=1)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}: median of the clock, median processor time")
    print("(user and system, the command and its children; with other work on the machine trust it and the ratios),")
    print("highest peak of resident memory, limits\n", flush=True)


def timed(words: Sequence[str], *, own_fleet: bool = True) -> Cost:
    """One run of a command, which must succeed (2, pending changes, is success)."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", _MEASURE, *words], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    cpu_s, kib = done.stdout.split()[-2:]
    cost = Cost(seconds, float(cpu_s), int(kib) / 1024)
    if words[0] == MLAB and own_fleet:
        _peaks[words[1]] = max(_peaks.get(words[1], 0), cost.peak_mib)
    return cost


_MEASURE = """
import resource, subprocess, sys, tempfile
with tempfile.TemporaryFile() as output:
    done = subprocess.run(sys.argv[1:], stdout=output, stderr=subprocess.PIPE)
    output.seek(max(0, output.tell() - 1000))
    said = output.read() + done.stderr[-1000:]
if done.returncode not in (0, 2):
    sys.exit(f"exit {done.returncode}: {said.decode(errors='replace')}")
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def report(
    name: str,
    words: Sequence[str],
    limit: str,
    *,
    runs: int = RUNS,
    warm: bool = True,
    own_fleet: bool = True,
    before: Callable[[], object] = lambda: None,
) -> Cost:
    """Run, print a row, and return the medians; `warm` runs once before, uncounted.

    Another fleet than the committed one does not count for the memory of its verb. `before` goes before each run, and
    is not measured.
    """
    if warm:
        timed(words, own_fleet=own_fleet)
    found = []
    for _ in range(runs):
        before()
        found.append(timed(words, own_fleet=own_fleet))
    cost = Cost(
        statistics.median(run.seconds for run in found),
        statistics.median(run.cpu_s for run in found),
        max(run.peak_mib for run in found),
    )
    row(name, cost.seconds, cost.peak_mib, limit, cost.cpu_s)
    return cost


def row(name: str, seconds: float, peak_mib: float, limit: str, cpu_s: float | None = None) -> None:
    """One line of the table. On a machine with other work the processor's time says more than the wall's."""
    cpu = "" if cpu_s is None else f"{cpu_s:.2f} s cpu"
    print(f"{name:<44} {seconds:7.2f} s {cpu:>12} {peak_mib:7.0f} MiB   {limit}", flush=True)


def memory() -> None:
    """The peak of each verb that was measured."""
    for verb, mib in sorted(_peaks.items()):
        print(f"{f'mlab {verb}, peak memory':<44} {'':>22} {mib:7.0f} MiB   < 400 MiB", flush=True)


def ratio(name: str, many: Cost, one: Cost, limit: str) -> None:
    """One line that compares two rows of this run, in processor time."""
    print(f"{name:<44} {many.cpu_s / one.cpu_s:7.2f} x {'':>23}   {limit}", flush=True)
