"""The program's metrics. The three counters are those that the public platform's dashboards read.

Extensions come out of names that others choose, so their number is bounded: of those that are new after the bound, and
of overlong ones, there is one series, `other`.
"""

from __future__ import annotations

import math
import time

import prometheus_client
from prometheus_client import Counter, Gauge

from node.watch import tree

OTHER = "other"
LONGEST = 32


def extension(name: bytes) -> str:
    """With its dot: from the last one, or the last two when the name ends in `.gz`; nothing when there is none."""
    stem = name.removesuffix(b".gz")
    packed = len(name) - len(stem)
    _, dot, last = stem.rpartition(b".")
    return ((dot + last if dot else b"") + name[len(name) - packed :]).decode(errors="replace")


class Meters:
    """What is counted."""

    def __init__(self, registry: prometheus_client.CollectorRegistry, max_extensions: int) -> None:
        def counter(name: str, meaning: str, label: str) -> Counter:
            return Counter(f"inotify_{name}", meaning, [label], registry=registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"inotify_{name}", meaning, ["path"], registry=registry)

        self.created = counter("extension_create_total", "Files that were made.", "ext")
        self.deleted = counter("extension_delete_total", "Files that were deleted.", "ext")
        self.written = counter("extension_closewrite_total", "Files that were closed after writing.", "ext")
        self._overflows = counter("overflows_total", "Times that the kernel dropped events.", "path")
        self._exhausted = counter("exhausted_watches_total", "Directories that no watch was left for.", "path")
        self._watched = gauge("watched_directories", "Directories with a watch.")
        self._unwatched = gauge("unwatched_directories", "Directories that are only listed every few seconds.")
        self._newest_bytes = gauge("newest_file_bytes", "Size of the file that was written last.")
        self._newest_time = gauge("newest_file_timestamp_seconds", "When that file was written.")
        self._newest_age = gauge("newest_file_age_seconds", "How long ago that file was written.")
        self._max_extensions = max_extensions
        self._extensions: set[str] = set()
        self._told: dict[str, tuple[int, int]] = {}

    def label(self, name: bytes) -> str:
        """The extension, or `other`."""
        made = extension(name)
        if made in self._extensions:
            return made
        if len(made) > LONGEST or len(self._extensions) >= self._max_extensions:
            return OTHER
        self._extensions.add(made)
        return made

    def begin(self, path: str) -> None:
        """All series of a folder, before anything is known of it."""
        self._told[path] = (0, 0)
        self._overflows.labels(path)
        self._exhausted.labels(path)
        self._watched.labels(path)
        self._unwatched.labels(path)
        self._newest_bytes.labels(path)
        self._newest_time.labels(path)
        self._newest_age.labels(path).set(math.nan)

    def newest(self, path: str, size_bytes: int, mtime_s: float) -> None:
        """A file that was written later than any before."""
        self._newest_bytes.labels(path).set(size_bytes)
        self._newest_time.labels(path).set(mtime_s)
        self._newest_age.labels(path).set_function(lambda: time.time() - mtime_s)

    def watching(self, path: str, of: tree.Tree) -> None:
        """How a folder's watch stands now."""
        overflows, exhausted = self._told[path]
        self._overflows.labels(path).inc(of.counts.overflows - overflows)
        self._exhausted.labels(path).inc(of.counts.exhausted_watches - exhausted)
        self._told[path] = (of.counts.overflows, of.counts.exhausted_watches)
        self._watched.labels(path).set(of.watched)
        self._unwatched.labels(path).set(of.unwatched)
