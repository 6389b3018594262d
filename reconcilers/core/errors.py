"""The few errors of ours. One outermost handler turns them into exit statuses (`reconcilers.cli.exits`)."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcilers.core.model import Diagnostic


def one_line(text: str, limit: int = 256) -> str:
    """Fold white space and cut: no response body of more than 256 characters reaches a log."""
    folded = " ".join(text.split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def bug(error: BaseException) -> str:
    """One line for an error that is nobody's but ours: what and where, so that it can be reported."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {frames[-1].name} ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return one_line(f"internal error: {type(error).__name__}: {error}{where}")


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
    """The target could not do it now; the same call may succeed later.

    `retry_after_s` is the server's wish; `throttled` says that we ask too much of it (429).
    """

    def __init__(self, message: str, retry_after_s: float | None = None, *, throttled: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.throttled = throttled


class Permanent(MlabError):
    """The target will not do it however often it is asked."""


class Conflict(MlabError):
    """The live object moved since it was observed (409, 412): observe again, plan again."""


def advised(error: MlabError) -> str:
    """One line for an error that ended a scope: the reason, then the next step, which no long reason cuts off."""
    return f"{one_line(str(error), 220)}; {_next_step(error)}"


def _next_step(error: MlabError) -> str:
    if isinstance(error, Temporary):
        return "run again when the target answers"
    if isinstance(error, Conflict):
        return "another writer was quicker: run again"
    return "correct the target, or what git says of it, and run again"
