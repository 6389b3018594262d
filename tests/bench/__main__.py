"""`make bench`: figures of whole commands, cold processes, median of runs. Prints; asserts nothing."""

from __future__ import annotations

import itertools
import re
import shutil
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).parents[2]
MLAB = str(Path(sys.executable).with_name("mlab"))
RUNS = 5


def timed(words: Sequence[str]) -> tuple[float, int]:
    """Seconds and peak resident KiB of one run."""
    began = time.monotonic()
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", _MEASURE, *words], capture_output=True, text=True, check=True
    )
    return time.monotonic() - began, int(done.stdout.split()[-1])


_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def report(name: str, words: Sequence[str], limit: str) -> float:
    """Run, print a row, and return the median."""
    timed(words)
    runs = [timed(words) for _ in range(RUNS)]
    median = statistics.median(seconds for seconds, _ in runs)
    peak = max(kib for _, kib in runs) / 1024
    print(f"{name:<42} {median:7.2f} s {peak:7.0f} MiB   {limit}", flush=True)
    return median


def tenfold(base: Path) -> Path:
    """The fleet ten times over: each site copied under nine other names, out of other prefixes, as planned sites."""
    root = base / "tenfold"
    shutil.copytree(SOURCE / "config", root / "config")
    shutil.copytree(SOURCE / "jsonnet", root / "jsonnet")
    paths = sorted((SOURCE / "config" / "sites").glob("*.yaml"))
    taken = {path.stem[:3] for path in paths}
    metros = (m for m in map("".join, itertools.product(string.ascii_lowercase, repeat=3)) if m not in taken)
    for path in paths:
        text = path.read_text()
        for copy in range(1, 10):
            name = f"{next(metros)}{path.stem[3:]}"
            made = text.replace(path.stem, name)
            made = re.sub(r"(metro: )\w{3}", rf"\g<1>{name[:3]}", made)
            for half in (8, 9):
                made = made.replace(f"198.1{half}.", f"{12 + 2 * copy + half}.18.")
            made = re.sub(r"2001:db8:", f"2001:{0xE00 + copy:x}:", made)
            (root / "config" / "sites" / f"{name}.yaml").write_text(made)
    return root


def main() -> None:
    """All rows."""
    with tempfile.TemporaryDirectory(prefix="mlab-bench-") as folder:
        root = ("--root", str(SOURCE))
        once = report("validate, cold process", (MLAB, "validate", *root), "< 1.0 s")
        report("validate, derive, render, no cache", (MLAB, "render", "--no-cache", *root), "< 2.5 s")
        report("validate, derive, render, cached", (MLAB, "render", *root), "< 1.0 s")
        large = report("validate, ten times the fleet", (MLAB, "validate", "--root", str(tenfold(Path(folder)))), "")
        print(f"{'ten times the fleet against once':<42} {large / once:7.2f} x                < 8 x")


if __name__ == "__main__":
    main()
