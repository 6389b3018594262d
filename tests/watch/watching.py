"""A folder that is watched, in a test or as a program of its own where limits are to hold for it alone."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from node.watch import closed
from node.watch.tree import Kind, Tree

LIMIT_S = 120
_COMPLETE = (Kind.CLOSED, Kind.MOVED_IN, Kind.FOUND, Kind.LISTED)


class Watched:
    """What happened so far, and which files were complete when it did."""

    def __init__(self, folder: Path, *, bound_bytes: int = 1 << 22) -> None:
        closed.survive_broken_leases()
        self.folder = folder
        self.tree = Tree(os.fsencode(folder), bound_bytes=bound_bytes, relist_s=0.2)
        self.happened: Counter[tuple[Kind, bytes]] = Counter()
        self.states: Counter[closed.State] = Counter()
        self._complete: set[bytes] = set()

    @property
    def names(self) -> list[bytes]:
        """Of complete files."""
        return sorted(self._complete)

    def until(self, holds: Callable[[], object]) -> None:
        """Look at files as they come until something holds."""
        limit = time.monotonic() + LIMIT_S
        while True:
            for kind, path in self.tree.happened():
                self.happened[kind, path] += 1
                if kind in _COMPLETE:
                    self._look(path)
            if holds():
                return
            assert time.monotonic() < limit, (len(self._complete), self.states, self.tree.counts)
            select.select([self.tree], [], [], LIMIT_S)

    def _look(self, path: bytes) -> None:
        seen = closed.glance(self.tree.root, path)
        state = seen if isinstance(seen, closed.State) else closed.look(self.tree.root, path)[0]
        self.states[state] += 1
        if state is closed.State.CLOSED:
            self._complete.add(path)

    def settle(self) -> None:
        """Everything that happened until now has been seen: a file written last is complete last."""
        last = self.folder / f"last-{time.monotonic_ns()}"
        last.write_bytes(b"x")
        name = os.fsencode(last.name)
        self.until(lambda: name in self._complete)
        self._complete.discard(name)
        last.unlink()

    def forget(self) -> None:
        """Begin anew."""
        self._complete.clear()
        self.happened.clear()
        self.states.clear()

    def close(self) -> None:
        self.tree.close()


def main(folder: str, count: str) -> None:
    """Says `ready`, then on a line of input takes so many files, and prints what became of it as JSON."""
    watched = Watched(Path(folder))
    watched.settle()
    print("ready", flush=True)
    sys.stdin.readline()
    watched.until(lambda: len(watched.names) >= int(count))
    watched.settle()
    tree = watched.tree
    names = [os.fsdecode(name) for name in watched.names]
    counts = dataclasses.asdict(tree.counts)
    print(json.dumps({"names": names, "watched": tree.watched, "unwatched": tree.unwatched, **counts}))
    watched.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
