"""The audit log: one JSON line before and one after each attempted change, on disk before the write goes on.

Lines of changes that are written together reach the disk together: a disk takes a millisecond or two each time.

A crash between the two leaves the intent as evidence. Lines hold digests and ids, never values. Files are
`<state>/audit/<run>.jsonl`; a finished run's file is shipped to the bucket of audit lines, and kept until that worked.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from reconcilers.providers import secrets


class Audit:
    """An append-only file of this run."""

    def __init__(self, path: Path, common: Mapping[str, Any]) -> None:
        self.path = path
        self._common = dict(common)
        self._lock = threading.Lock()
        self._file: TextIO | None = None

    def __call__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write lines through to the disk. A run that attempts nothing leaves no file."""
        stamp = {"ts": datetime.now(UTC).isoformat(timespec="milliseconds"), **self._common}
        text = "".join(json.dumps({**stamp, **line}, ensure_ascii=False) + "\n" for line in lines)
        with self._lock:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("a", encoding="utf-8")
            self._file.write(secrets.redact(text))
            self._file.flush()
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Nothing more follows."""
        if self._file is not None:
            self._file.close()
