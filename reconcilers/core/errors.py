"""The few errors of ours. One outermost handler turns them into exit statuses (`reconcilers.cli.exits`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcilers.core.model import Diagnostic


def one_line(text: str, limit: int = 256) -> str:
    """Fold white space and cut: no response body of more than 256 characters reaches a log."""
    folded = " ".join(text.split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


class MlabError(Exception):
    """Base of our errors; its text is one line for a person."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message, 1024))


class UsageError(MlabError):
    """The command line cannot be carried out as given (exit 1)."""


class ConfigError(MlabError):
    """The configuration is invalid (exit 5); carries all problems found."""

    def __init__(self, message: str, problems: Sequence[Diagnostic] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class Refused(MlabError):
    """A safety rule says no: a limit, a stale plan, a held lock, an adoption that nobody asked for (exit 3)."""


class Temporary(MlabError):
    """The target could not do it now; the same call may succeed later. `retry_after_s` is the server's wish."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Permanent(MlabError):
    """The target will not do it however often it is asked."""


class Conflict(MlabError):
    """The live object moved since it was observed (409, 412): observe again, plan again."""
