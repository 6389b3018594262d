"""The audit log: one JSON line before and one after each attempted change, on disk before the write goes on.

A crash between the two leaves the intent as evidence. Lines hold digests and ids, never values. Files are
`<state>/audit/<run>.jsonl`; a finished run's file is shipped to the records bucket, and kept until that worked.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Audit:
    """An append-only file of this run."""

    def __init__(self, path: Path, common: Mapping[str, Any]) -> None:
        self.path = path
        self._common = dict(common)
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Write one line through to the disk."""
        stamped = {"ts": datetime.now(UTC).isoformat(timespec="milliseconds"), **self._common, **line}
        with self._lock:
            self._file.write(json.dumps(stamped, ensure_ascii=False) + "\n")
            self._file.flush()
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Nothing more follows."""
        self._file.close()
