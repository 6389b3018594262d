"""The exit statuses of every verb, and which one wins when several apply."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from reconcilers.core.errors import ConfigError, MlabError, Refused, Temporary


class Exit(IntEnum):
    """`1` is a usage or an internal error; the others say what the run found."""

    OK = 0
    ERROR = 1
    CHANGES = 2
    REFUSED = 3
    INCOMPLETE = 4
    INVALID = 5
    UNACCOUNTED = 6
    INTERRUPTED = 130


_PRECEDENCE = (
    Exit.INTERRUPTED,
    Exit.INVALID,
    Exit.ERROR,
    Exit.UNACCOUNTED,
    Exit.INCOMPLETE,
    Exit.REFUSED,
    Exit.CHANGES,
    Exit.OK,
)


def worst(found: Iterable[Exit]) -> Exit:
    """5 > 1 > 6 > 4 > 3 > 2 > 0."""
    present = set(found)
    return next((status for status in _PRECEDENCE if status in present), Exit.OK)


def of(error: MlabError) -> Exit:
    """The status for an error that ended the whole run."""
    if isinstance(error, ConfigError):
        return Exit.INVALID
    if isinstance(error, Refused):
        return Exit.REFUSED
    if isinstance(error, Temporary):
        return Exit.INCOMPLETE
    return Exit.ERROR
