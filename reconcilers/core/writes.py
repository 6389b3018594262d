"""Writes one level of changes: bounded in parallel, tried again where the error is temporary, each on record.

A conflict means that the live object moved after it was observed: it is observed and planned again, and written only
if what would be written is still what was approved.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from reconcilers.core import canonical
from reconcilers.core import plan as planning
from reconcilers.core.errors import Conflict, MlabError, Temporary, bug, one_line
from reconcilers.core.events import Event, Listener
from reconcilers.core.model import Change, Outcome, Resource, Result
from reconcilers.core.provider import Batched, Context, Provider
from reconcilers.core.retry import Policy, Rate


@dataclass(frozen=True, slots=True)
class Writer:
    """Everything that a write of this scope needs; `record` gets intents before and outcomes after each write."""

    provider: Provider
    rules: planning.Rules
    desired: Mapping[Any, Resource]
    context: Context
    policy: Policy
    rate: Rate
    record: Callable[[Sequence[Mapping[str, Any]]], None]
    listen: Listener
    stopped: threading.Event
    on_bug: Callable[[Exception], None] = lambda error: None
    jobs: int = 16


def level(writer: Writer, changes: Sequence[Change], deletions: Sequence[Change] = ()) -> list[Outcome]:
    """Write changes that do not depend on each other. After an interrupt no further one is started.

    `deletions` are permitted ones to come; a `Batched` provider may take some of them in.
    """
    if not changes:
        return []
    batches = _batches(writer.provider, changes, deletions)
    workers = max(1, min(writer.jobs, writer.provider.capabilities.max_concurrency, len(batches)))
    if workers == 1:
        return [outcome for batch in batches for outcome in _attempt(writer, batch)]
    with ThreadPoolExecutor(workers, thread_name_prefix=writer.provider.scope) as pool:
        done = list(pool.map(lambda batch: _attempt(writer, batch), batches))
    return [outcome for outcomes in done for outcome in outcomes]


def _batches(
    provider: Provider, changes: Sequence[Change], deletions: Sequence[Change]
) -> Sequence[tuple[Change, ...]]:
    if isinstance(provider, Batched):
        return [tuple(batch) for batch in provider.batches(changes, deletions)]
    if provider.capabilities.atomic_batch:
        return [tuple(changes)]
    return [(change,) for change in changes]


def _attempt(writer: Writer, batch: tuple[Change, ...]) -> list[Outcome]:
    started = time.monotonic()
    tries = 0
    reconsidered = False
    writer.record([_line(writer, "intent", change) for change in batch])
    for change in batch:
        shown = {"id": str(change.id), "action": change.action.value}
        writer.listen(Event("change_started", writer.provider.scope, shown))
    while True:
        tries += 1
        if writer.stopped.is_set():
            return _end(writer, batch, Result.SKIPPED, "interrupted before it was written", tries - 1, started)
        try:
            writer.rate.wait()
            writer.context.still_held()
            writer.provider.apply(batch, writer.context)
        except Temporary as error:
            if error.throttled:
                writer.rate.slow_down()
            pause = writer.policy.pause_s(tries, error)
            if pause is None:
                return _end(writer, batch, Result.FAILED_TEMPORARY, str(error), tries, started)
            said = {"error": one_line(str(error)), "in_s": pause, "asked": error.retry_after_s is not None}
            writer.listen(Event("retry", writer.provider.scope, said))
            writer.stopped.wait(pause) if writer.policy.sleep is time.sleep else writer.policy.sleep(pause)
        except Conflict as error:
            if reconsidered:
                return _end(writer, batch, Result.CONFLICT, str(error), tries, started)
            reconsidered = True
            again = _reconsider(writer, batch)
            if again is None:
                return _end(writer, batch, Result.CONFLICT, str(error), tries, started)
            if not again:
                return _end(writer, batch, Result.UNCHANGED, "", tries, started)
            batch = again
        except MlabError as error:
            return _end(writer, batch, Result.FAILED_PERMANENT, str(error), tries, started)
        except Exception as error:
            writer.on_bug(error)
            return _end(writer, batch, Result.FAILED_PERMANENT, bug(error), tries, started)
        else:
            writer.rate.recover()
            return _end(writer, batch, Result.APPLIED, "", tries, started)


def _reconsider(writer: Writer, batch: tuple[Change, ...]) -> tuple[Change, ...] | None:
    """The batch against what is live now: () if nothing is left to do, None if it is not what was approved."""
    wanted = {change.id for change in batch}
    try:
        live = {item.id: item for item in writer.provider.observe(wanted) if item.id in wanted}
    except MlabError:
        return None
    kept = []
    for change in batch:
        fresh = planning.one(writer.provider.scope, writer.desired.get(change.id), live.get(change.id), writer.rules)
        if fresh is None:
            continue
        forbidden = fresh.impossible or (fresh.blocked is not None and change.ack is None)
        if forbidden or fresh.action is not change.action or not _within(fresh, change):
            return None
        kept.append(replace(fresh, ack=change.ack, blocked=None, cause=change.cause, reason=change.reason))
    return tuple(kept)


def _within(fresh: Change, approved: Change) -> bool:
    # For a deletion what matters is that what was approved to go is what would go.
    allowed = {(f.path, canonical.dumps(f.after)) for f in approved.fields}
    return all((f.path, canonical.dumps(f.after)) in allowed for f in fresh.fields)


def _end(
    writer: Writer, batch: Sequence[Change], result: Result, error: str, tries: int, started: float
) -> list[Outcome]:
    ms = int((time.monotonic() - started) * 1000)
    outcomes = [Outcome(change, result, one_line(error), tries, ms) for change in batch]
    writer.record([_line(writer, result.value, outcome.change, outcome) for outcome in outcomes])
    for outcome in outcomes:
        writer.listen(
            Event(
                "change_finished",
                writer.provider.scope,
                {
                    "id": str(outcome.change.id),
                    "action": outcome.change.action.value,
                    "result": result.value,
                    "error": outcome.error,
                    "tries": outcome.tries,
                    "ms": outcome.ms,
                },
            )
        )
    return outcomes


def _line(writer: Writer, outcome: str, change: Change, ended: Outcome | None = None) -> Mapping[str, Any]:
    # A plain digest of a weak secret gives it away, so what holds one has none here.
    secret = any(field.sensitive for field in change.fields)
    after = None if change.desired is None or secret else canonical.sha256(dict(change.desired.spec))
    before = None if change.observed is None or secret else canonical.sha256(dict(change.observed.spec))
    return {
        "scope": writer.provider.scope,
        "id": str(change.id),
        "action": change.action.value,
        "source": str(change.source),
        "before_sha": before,
        "after_sha": after,
        "ack": change.ack,
        "outcome": outcome,
        "tries": ended.tries if ended else 0,
        "ms": ended.ms if ended else 0,
        "error": ended.error if ended else "",
    }
