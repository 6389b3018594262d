"""What the records bucket of an environment tells a run: which commits it runs, and who paused what.

What cannot be read is neither nothing nor an end: the run goes on, says so in a line, and tells no cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from reconcilers.core.errors import MlabError
from reconcilers.fleet import permissions
from reconcilers.fleet.model import Environment
from reconcilers.providers import pauses
from reconcilers.providers.pauses import Pause
from reconcilers.providers.records import Records


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record, None where none was ever written or it cannot be read; the pauses that hold, by target."""

    applied: Mapping[str, Any] | None = None
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    applied_error: str = ""
    pauses_error: str = ""

    def unreadable(self) -> Iterator[str]:
        """One line, if anything cannot be read."""
        if self.applied_error:
            also = " and what is paused" if self.pauses_error else ""
            yield f"what was last applied{also} cannot be read, so no cause is told: {self.applied_error}"
        elif self.pauses_error:
            yield f"whether a scope is paused is not known: {self.pauses_error}"

    def paused(self, environment: Environment, target: str) -> str:
        """Why nothing of a target is looked at; empty if it is."""
        if held := in_git(environment, target):
            return held
        pause = self.pauses.get(target)
        return pause.text() if pause else ""


def in_git(environment: Environment, target: str) -> str:
    """The same for as long as the environment's file says so."""
    mode, where = permissions.mode(environment, target)
    return f"its mode is `paused` ({where})" if mode == "paused" else ""


def read(environment: Environment, targets: Iterable[str], timeout_s: float) -> Recorded:
    """Ask the bucket. If git itself pauses all of the targets, nothing is asked: they are left alone."""
    if all(in_git(environment, target) for target in targets):
        return Recorded()
    applied, held = None, dict[str, Pause]()
    applied_error = pauses_error = ""
    with closing(Records(environment, timeout_s)) as records:
        try:
            applied, _ = records.read_applied(environment.name)
        except MlabError as error:
            applied_error = str(error)
        try:
            held = pauses.read(records, environment.name, datetime.now(UTC))
        except MlabError as error:
            pauses_error = str(error)
    return Recorded(applied, held, applied_error, pauses_error)
