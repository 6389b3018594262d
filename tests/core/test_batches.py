"""A provider that says which changes belong together: each set is one write, and a deletion taken in is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconcilers.core.errors import Temporary
from reconcilers.core.model import Action, Change, Id, Resource, Result, Span
from reconcilers.core.provider import Context
from reconcilers.providers.memory import MemoryProvider, Server
from reconcilers.report.audit import Audit
from tests.conformance import suite

SCOPE = "sandbox/memory"


class InPairs(MemoryProvider):
    """Writes two at a time, and takes in the deletion of `old` with the creation of `new`."""

    def __init__(self, server: Server) -> None:
        super().__init__(SCOPE, server)
        self.written: list[list[str]] = []
        self.fail = 0

    def batches(self, changes: Sequence[Change], deletions: Sequence[Change]) -> Sequence[Sequence[Change]]:
        pairs = [list(changes[start : start + 2]) for start in range(0, len(changes), 2)]
        for pair in pairs:
            if any(change.id.name == "new" for change in pair):
                pair += [change for change in deletions if change.id.name == "old"]
        return pairs

    def apply(self, changes: Sequence[Change], context: Context) -> None:
        if self.fail:
            self.fail -= 1
            raise Temporary("not now")
        super().apply(changes, context)
        self.written.append([f"{change.action} {change.id.name}" for change in changes])


def resource(name: str) -> Resource:
    return Resource(Id("Thing", name), {"value": 1}, Span("config/x.yaml", 3))


def test_each_set_is_one_write_and_what_it_took_in_is_not_deleted_again() -> None:
    server = Server()
    suite.apply(InPairs(server), [resource("old"), resource("gone")])
    one = InPairs(server)
    result = suite.apply(one, [resource("new"), resource("a"), resource("b")])
    assert sorted(one.written[:2]) == [["create a", "create b"], ["create new", "delete old"]]
    assert one.written[2:] == [["delete gone"]]
    assert sorted((o.change.action, o.change.id.name) for o in result.outcomes) == [
        (Action.CREATE, "a"),
        (Action.CREATE, "b"),
        (Action.CREATE, "new"),
        (Action.DELETE, "gone"),
        (Action.DELETE, "old"),
    ]
    assert {o.result for o in result.outcomes} == {Result.APPLIED}


def test_a_set_that_fails_fails_as_a_whole_and_is_tried_again_as_a_whole() -> None:
    one = InPairs(Server())
    one.fail = 1
    result = suite.apply(one, [resource("a"), resource("b"), resource("c")])
    assert sorted(one.written) == [["create a", "create b"], ["create c"]]
    tries = {o.change.id.name: o.tries for o in result.outcomes}
    assert tries["a"] == tries["b"] and sorted({tries["a"], tries["c"]}) == [1, 2]
    one.fail = 10
    result = suite.apply(one, [resource(name) for name in "abcde"])
    assert {o.result for o in result.outcomes} == {Result.FAILED_TEMPORARY}


def test_the_lines_of_a_set_reach_the_disk_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = 0

    def flush(_descriptor: int) -> None:
        nonlocal flushed
        flushed += 1

    monkeypatch.setattr("reconcilers.report.audit.os.fdatasync", flush)
    audit = Audit(tmp_path / "audit.jsonl", {"run": "r"})
    one = InPairs(Server())
    suite.apply(one, [resource(name) for name in "abcd"], chosen=suite.options(record=audit, jobs=1))
    audit.close()
    lines: list[Mapping[str, Any]] = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(line["id"], line["outcome"]) for line in lines[:4]] == [
        ("Thing/a", "intent"),
        ("Thing/b", "intent"),
        ("Thing/a", "applied"),
        ("Thing/b", "applied"),
    ]
    assert len(lines) == 8 and flushed == 4 and {line["run"] for line in lines} == {"r"}
