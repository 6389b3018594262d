"""Waits until what was written works, says every 15 s what it waits for, and gives up at the limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from reconcilers.core.errors import MlabError, one_line
from reconcilers.core.events import Event, Listener
from reconcilers.core.model import Health, HealthState, Id, Outcome, Result
from reconcilers.core.provider import Provider

WORD_EVERY_S = 15.0


def until_healthy(
    provider: Provider, outcomes: Sequence[Outcome], *, limit_s: float, listen: Listener, stopped: threading.Event
) -> list[Outcome]:
    """The outcomes, those failed that do not work within the limit. An interrupt ends the waiting, not the outcome."""
    waiting = {o.change.id for o in outcomes if o.result is Result.APPLIED}
    failed: dict[Id, str] = {}
    deadline = time.monotonic() + limit_s
    pause_s, next_word = 0.05, time.monotonic() + WORD_EVERY_S
    while waiting and not stopped.is_set():
        said = ""
        for identity in sorted(waiting):
            health = _asked(provider, identity)
            if health.state is HealthState.FAILED:
                failed[identity] = f"it failed: {health.message}"
            if health.state in (HealthState.CURRENT, HealthState.FAILED):
                waiting.discard(identity)
            else:
                said = f"{identity}: {health.message}"
        if not waiting:
            break
        if time.monotonic() > deadline:
            failed.update(dict.fromkeys(waiting, f"not healthy in {limit_s:.0f} s: {said}"))
            break
        if time.monotonic() > next_word:
            listen(Event("health_wait", provider.scope, {"waiting": len(waiting), "for": said}))
            next_word += WORD_EVERY_S
        stopped.wait(pause_s)
        pause_s = min(1.0, pause_s * 1.5)
    return [
        replace(o, result=Result.FAILED_PERMANENT, error=one_line(failed[o.change.id])) if o.change.id in failed else o
        for o in outcomes
    ]


def _asked(provider: Provider, identity: Id) -> Health:
    """A server that does not answer this question now is asked again until the limit: the write itself is done."""
    try:
        return provider.health(identity)
    except MlabError as error:
        return Health(HealthState.UNKNOWN, str(error))
