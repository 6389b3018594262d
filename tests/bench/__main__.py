"""`make bench`: figures of whole commands, cold processes, median of runs. Prints; asserts nothing.

python -m tests.bench [offline|names|boots|live|sandbox|node|tcpinfo|pusher ...]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.bench import boots, live, measure, names, node, offline, pusher, tcpinfo

PARTS = {
    "offline": offline.rows,
    "names": names.rows,
    "boots": boots.rows,
    "live": live.rows,
    "node": node.rows,
    "tcpinfo": tcpinfo.rows,
    "pusher": pusher.rows,
}
PARTS_BY_NAME = PARTS | {"sandbox": live.sandbox}
"""Those that only run where they are named, too."""


def main(chosen: list[str]) -> None:
    """All parts, or those that are named."""
    measure.begin()
    with tempfile.TemporaryDirectory(prefix="mlab-bench-") as folder:
        for name in chosen or PARTS:
            PARTS_BY_NAME[name](Path(folder))
    measure.memory()


if __name__ == "__main__":
    main(sys.argv[1:])
