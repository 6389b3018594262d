"""What the record of an environment tells: failed, partial, blocked and paused scopes; entries out of order."""

from __future__ import annotations

from typing import Any

from reconcilers.core import engine
from reconcilers.core.engine import ScopeResult
from reconcilers.core.model import Action, Change, Id, Outcome, Plan, Result
from reconcilers.core.part import Part
from reconcilers.core.provider import Holder
from reconcilers.providers.memory import MemoryProvider, Server
from reconcilers.report import record

WHO = Holder("run-1", "tester", "", "2026-01-01T00:00:00Z")
SCOPE = "sandbox/memory"


def entry(*outcomes: Result, error: str = "", refused: bool = False, part: Part | None = None, paused: str = "") -> Any:
    work = engine.Work(MemoryProvider(SCOPE, Server()), (), part=part or Part(), paused=paused)
    changes = [Change(Action.UPDATE, Id("Thing", f"t{n}"), None, None) for n in range(len(outcomes))]
    result = ScopeResult(SCOPE, Plan(SCOPE, paused=paused), error=error)
    result.outcomes = [Outcome(change, outcome) for change, outcome in zip(changes, outcomes, strict=True)]
    result.refused = ["no"] if refused else []
    return record.entry("sandbox", "c0ffee", "tree", WHO, "2026-01-01T00:01:00Z", [(work, result)])


def test_a_scope_that_came_about_runs_the_commit_and_names_what_was_blocked() -> None:
    made = entry(Result.APPLIED, Result.BLOCKED, Result.UNCHANGED)
    assert made["result"] == "ok"
    assert made["scopes"][SCOPE] == {
        "result": "ok",
        "finished": "2026-01-01T00:01:00Z",
        "commit": "c0ffee",
        "pending": ["Thing/t1"],
    }


def test_failed_refused_and_partial_scopes_keep_their_commit_and_paused_ones_are_not_touched() -> None:
    for made in (entry(Result.FAILED_PERMANENT), entry(error="down"), entry(refused=True)):
        assert made["result"] == "incomplete" and "commit" not in made["scopes"][SCOPE]
    partial = entry(Result.APPLIED, part=Part(only=("memory/Thing/t0",)))
    assert partial["scopes"][SCOPE]["result"] == "partial" and "commit" not in partial["scopes"][SCOPE]
    assert entry(paused="its mode is `paused`")["scopes"] == {}


def state(finished: str, **scopes: dict[str, Any]) -> dict[str, Any]:
    named = {f"sandbox/{name}": {"finished": finished, **said} for name, said in scopes.items()}
    return {"env": "sandbox", "commit": finished, "finished": finished, "scopes": named}


def test_a_scope_that_failed_later_keeps_the_commit_that_it_had() -> None:
    merged = record.merge(state("1", a={"commit": "x", "result": "ok"}), state("2", a={"result": "failed"}))
    assert merged["scopes"]["sandbox/a"] == {"finished": "2", "commit": "x", "result": "failed"}


def test_a_spooled_entry_that_arrives_late_adds_only_what_the_record_does_not_know_better() -> None:
    now = record.merge(state("1", a={"commit": "old"}, b={"commit": "old"}), state("3", a={"commit": "new"}))
    late = record.merge(now, state("2", a={"commit": "between"}, b={"commit": "between"}))
    assert late["commit"] == "3"
    assert {scope: said["commit"] for scope, said in late["scopes"].items()} == {
        "sandbox/a": "new",
        "sandbox/b": "between",
    }
    assert record.merge(late, state("2", a={"commit": "between"}, b={"commit": "between"})) == late


def test_a_run_that_wrote_nothing_is_recorded_only_if_it_knows_more() -> None:
    known = record.merge(None, entry(Result.UNCHANGED))
    assert record.tells_more(None, entry(Result.UNCHANGED))
    assert not record.tells_more(known, entry(Result.UNCHANGED))
    assert not record.tells_more(known, entry(error="down"))
    assert record.tells_more(known, entry(Result.BLOCKED))
