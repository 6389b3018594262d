"""Scopes that nobody writes for a while: `pauses/ENV.json` in the environment's records bucket, seen by all writers.

A pause is for the middle of the night; `modes: paused` in the environment's file, reviewed and in git, is for longer.
It names who paused, why and until when, and ends by itself. Writes carry the generation that was read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from reconcilers.core.errors import Conflict, Permanent
from reconcilers.providers.records import Records

LONGEST_S = 7 * 24 * 3600
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Pause:
    """One scope's; times as `2026-03-01T10:00:00Z`."""

    actor: str
    reason: str
    started: str
    until: str

    def text(self) -> str:
        """Why nothing of the scope is looked at, as a plan says it."""
        return f"paused by {self.actor} until {self.until}: {self.reason}; `mlab resume` ends it"

    def until_s(self) -> float:
        """When it ends, in seconds since 1970."""
        return datetime.fromisoformat(self.until).timestamp()


def stamp(moment: datetime) -> str:
    """A time in the form of the file."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(records: Records, env: str, now: datetime) -> dict[str, Pause]:
    """The pauses that hold now, by target."""
    return _holding(_parsed(records.read_pauses(env)[0], env), now)


def change(records: Records, env: str, added: Mapping[str, Pause], ended: Collection[str], now: datetime) -> None:
    """Add pauses, end others by target, drop what is over. Raises `Conflict` where others keep writing."""
    for attempt in range(_TRIES):
        document, generation = records.read_pauses(env)
        kept = {t: p for t, p in _holding(_parsed(document, env), now).items() if t not in ended}
        wanted = {"v": 1, "pauses": {target: asdict(pause) for target, pause in sorted({**kept, **added}.items())}}
        if document == wanted or (document is None and not wanted["pauses"]):
            return
        try:
            records.write_pauses(env, wanted, generation)
        except Conflict:
            if attempt == _TRIES - 1:
                raise
        else:
            return


def _parsed(document: Mapping[str, Any] | None, env: str) -> dict[str, Pause]:
    try:
        return {target: Pause(**found) for target, found in (document or {}).get("pauses", {}).items()}
    except (TypeError, AttributeError):
        raise Permanent(
            f"pauses/{env}.json in the records bucket is none of ours; remove it, then pause again"
        ) from None


def _holding(pauses: Mapping[str, Pause], now: datetime) -> dict[str, Pause]:
    return {target: pause for target, pause in pauses.items() if pause.until > stamp(now)}
