"""The memory provider passes the suite of the real ones: so the suite itself is tried without a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from reconcilers.core.errors import Temporary
from reconcilers.core.model import Id, Resource, Span
from reconcilers.core.provider import Provider
from reconcilers.providers.memory import Live, MemoryProvider, Server
from tests.conformance import suite

SCOPE = "sandbox/memory"


def resource(name: str, value: int, *deps: str) -> Resource:
    return Resource(
        Id("Thing", name), {"value": value}, Span("config/x.yaml", 3), frozenset(Id("Thing", dep) for dep in deps)
    )


class MemoryHarness:
    lock_ttl_s = 0.3
    first: Sequence[Resource] = (resource("a", 1), resource("b", 1, "a"), resource("c", 1))
    second: Sequence[Resource] = (resource("a", 1), resource("b", 2, "a"), resource("d", 1, "b"))

    def __init__(self) -> None:
        self.server = Server()

    def provider(self) -> Provider:
        return MemoryProvider(SCOPE, self.server)

    def reset(self) -> None:
        self.server.objects.clear()
        self.server.locks.clear()

    def state(self) -> Any:
        return {identity: dict(live.spec) for identity, live in self.server.objects.items() if live.owner}

    def put_unmarked(self, item: Resource) -> None:
        self.server.objects[item.id] = Live({"value": 99}, None, next(self.server.versions))

    def put_foreign(self) -> Id:
        identity = Id("Thing", "foreign")
        self.server.objects[identity] = Live({"value": 7}, None, next(self.server.versions))
        return identity

    def foreign_state(self) -> Any:
        return self.server.objects[Id("Thing", "foreign")]

    def drift(self) -> Id:
        live = self.server.objects[Id("Thing", "b")]
        live.spec = {"value": 41}
        live.version = next(self.server.versions)
        return Id("Thing", "b")

    def unreachable(self) -> Provider:
        class Gone(MemoryProvider):
            def observe(self, wanted: Any) -> Any:
                raise Temporary("127.0.0.1:1: connection refused")

        return Gone(SCOPE, self.server)


class TestMemory(suite.Conformance):
    @pytest.fixture
    def harness(self) -> MemoryHarness:
        return MemoryHarness()


def test_a_foreign_edit_between_plan_and_write_is_planned_again() -> None:
    harness = MemoryHarness()
    suite.applied(harness, harness.first)
    edits = iter(range(1))

    def edit(change: Any) -> None:
        for _ in edits:
            live = harness.server.objects[change.id]
            harness.server.objects[change.id] = replace(live, version=next(harness.server.versions))

    harness.server.before_write = edit
    suite.applied(harness, harness.second)
    assert harness.server.objects[Id("Thing", "b")].spec == {"value": 2}
