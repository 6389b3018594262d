"""What the client prints, and the end of it for the report. Every line is cleaned of secrets first.

A line starts with the seconds since the kernel started, so that the console, the report and the server's history can
be laid side by side. Lines of commands come here too; the newest 8,000 bytes are kept, which is what the server takes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

TAIL_BYTES = 8000
_MAX_LINE = 2000


class Journal:
    """Prints lines and keeps the newest; safe to use from several threads."""

    def __init__(self, clean: Callable[[str], str], stream: TextIO | None = None) -> None:
        self.clean = clean
        self._stream = sys.stderr if stream is None else stream
        self._lock = threading.Lock()
        self._kept: deque[str] = deque()
        self._kept_bytes = 0

    def line(self, text: str) -> None:
        """Print one line, its secrets and control characters taken out, cut at 2,000 characters."""
        text = "".join(char if char.isprintable() else " " for char in self.clean(text)).rstrip()
        if len(text) > _MAX_LINE:
            text = text[: _MAX_LINE - 1] + "…"
        text = f"[{uptime_s():9.3f}] {text}\n"
        with self._lock:
            self._kept.append(text)
            self._kept_bytes += len(text.encode())
            while self._kept_bytes > TAIL_BYTES:
                self._kept_bytes -= len(self._kept.popleft().encode())
            # A console that went away must not stop a boot.
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                pass

    def tail(self) -> str:
        with self._lock:
            return "".join(self._kept)


def uptime_s() -> float:
    """Seconds since the kernel started; time spent suspended counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
