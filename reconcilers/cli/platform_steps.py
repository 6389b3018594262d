"""What verbs that use the local platform share: its folder below the state folder, and its errors as ours."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconcilers.cli.session import state_of
from reconcilers.core.errors import MlabError
from services.local.errors import PlatformError


def folder(given: argparse.Namespace) -> Path:
    """Where this platform keeps everything it has: another state folder is another platform."""
    return state_of(given) / "platform"


@contextmanager
def failures() -> Iterator[None]:
    """A platform's failure is one line and exit 1."""
    try:
        yield
    except PlatformError as error:
        raise MlabError(str(error)) from error
