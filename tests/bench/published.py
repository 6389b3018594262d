"""Processor seconds of deriving and encoding every published file and zone of one environment, in a warm process.

python -m tests.bench.published ROOT
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from pathlib import Path

from reconcilers.fleet import published
from reconcilers.load import fleet as loading

RUNS = 5


def main() -> None:
    """Print the median; the fleet is a new value each time, so that nothing is remembered."""
    fleet = loading.load(Path(sys.argv[1])).require()
    runs = []
    for _ in range(RUNS + 1):
        again = dataclasses.replace(fleet)
        began = time.process_time()
        published.sets(again, again.environments["production"])
        runs.append(time.process_time() - began)
    print(statistics.median(runs[1:]))


if __name__ == "__main__":
    main()
