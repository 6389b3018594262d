"""What libraries log while targets are asked: a line each on stderr. Apart from `output`, since most verbs ask none."""

from __future__ import annotations

import logging
import sys

from reconcilers.providers import secrets


def log_to_stderr() -> None:
    """Warnings of libraries as one line each on stderr, without traces and without secrets."""
    root = logging.getLogger()
    if any(isinstance(found, secrets.Redactor) for handler in root.handlers for found in handler.filters):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_OneLine())
    handler.addFilter(secrets.Redactor())
    root.addHandler(handler)


class _OneLine(logging.Formatter):
    """A record without its trace, white space folded."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"mlab: {record.name}: {record.getMessage()}".split())
