"""What leaves the program: nothing that is printed or logged carries a secret that was resolved in this run.

Errors quote servers, and a server may quote what it was sent. Providers redact what they know to be risky; here every
line passes once more, so that a new message cannot be forgotten. What libraries log is in `logs`.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO


class Redacted:
    """A text stream that masks registered secrets in what is written; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, masked. A run that resolved no secret has not loaded them, and pays nothing."""
        secrets = sys.modules.get("reconcilers.providers.secrets")
        self._stream.write(text if secrets is None else secrets.redact(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> None:
    """Put both streams behind it; again is harmless."""
    if not isinstance(sys.stdout, Redacted):
        sys.stdout = Redacted(sys.stdout)
    if not isinstance(sys.stderr, Redacted):
        sys.stderr = Redacted(sys.stderr)
