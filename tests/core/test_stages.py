"""Names come after what they name and go before it; probes come last and go first."""

from __future__ import annotations

from reconcilers.core import engine
from reconcilers.core.model import Change, Id, Resource, Span
from reconcilers.providers.memory import MemoryProvider, Server
from tests.conformance import suite


def test_targets_are_written_in_stages_and_pruned_in_reverse() -> None:
    order: list[str] = []
    servers = {name: Server() for name in ("monitoring", "dns", "epoxy")}

    def desired(name: str, thing: str) -> tuple[Resource, ...]:
        return (Resource(Id("Thing", f"{name}-{thing}"), {"value": 1}, Span("config/x.yaml", 3)),)

    def run(thing: str) -> None:
        works = [
            engine.Work(MemoryProvider(f"sandbox/{name}", server), desired(name, thing))
            for name, server in servers.items()
        ]
        plans = [suite.plan(work.provider, work.desired) for work in works]
        assert not any(result.failed for result in engine.apply(works, plans, suite.options()))

    def note(change: Change) -> None:
        order.append(f"{change.action} {change.id.name}")

    run("old")
    for server in servers.values():
        server.before_write = note
    run("new")
    assert order == [
        "create epoxy-new",
        "create dns-new",
        "create monitoring-new",
        "delete monitoring-old",
        "delete dns-old",
        "delete epoxy-old",
    ]
