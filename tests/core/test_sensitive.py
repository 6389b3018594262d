"""Sensitive values end where they are compared: nothing behind that ever holds one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from reconcilers.core import approval, diff, engine
from reconcilers.core.model import Id, Resource, Span
from reconcilers.providers.memory import MemoryProvider, Server
from tests.conformance import suite

SCOPE = "sandbox/memory"
HIDDEN = frozenset({("data", "phrase")})


def resource(phrase: str, **more: Any) -> Resource:
    spec = {"data": {"phrase": phrase, "user": "root"}, **more}
    return Resource(Id("Thing", "a"), spec, Span("config/x.yaml", 3), sensitive=HIDDEN)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"data": {"phrase": "canary", "user": "root"}}),
        ({"data": {"phrase": "canary", "user": "root"}}, {}),
        ({"data": {"phrase": "canary-1", "user": "root"}}, {"data": {"phrase": "canary-2", "user": "root"}}),
        ({"data": {"phrase": {"deep": ["canary"]}}}, {"data": {"phrase": {"deep": ["canary-2"]}}}),
    ],
)
def test_a_field_above_at_or_below_a_sensitive_path_is_masked(before: Any, after: Any) -> None:
    found = diff.fields(before, after, sensitive=HIDDEN, key=b"k")
    assert found and all(field.sensitive for field in found) and "canary" not in repr(found)


def test_a_key_tells_values_apart_and_no_key_tells_nothing() -> None:
    one, two = (diff.masked(value, b"k") for value in ("a", "b"))
    assert one != two and one == diff.masked("a", b"k") != diff.masked("a", b"other")
    assert diff.masked("a", b"") == diff.masked("b", b"") == "(sensitive)"
    assert diff.masked(None, b"k") is None


def plan(target: Server, phrase: str, key: bytes) -> Any:
    return engine.observe(engine.Work(MemoryProvider(SCOPE, target), (resource(phrase),), key=key), suite.QUICK)


def test_another_secret_than_the_approved_one_is_not_approved_if_there_is_a_key() -> None:
    target = Server()
    suite.apply(MemoryProvider(SCOPE, target), [resource("first")])
    approved = approval.of([plan(target, "second", b"k")])
    assert not approval.excess(plan(target, "second", b"k"), approved)
    assert approval.excess(plan(target, "third", b"k"), approved)


def test_no_line_of_the_audit_has_a_digest_of_what_holds_a_secret() -> None:
    lines: list[Any] = []
    target = Server()
    suite.apply(MemoryProvider(SCOPE, target), [resource("canary")], chosen=suite.options(record=lines.extend))
    plain = structs.replace(resource("canary"), sensitive=frozenset(), id=Id("Thing", "b"))
    suite.apply(MemoryProvider(SCOPE, Server()), [plain], chosen=suite.options(record=lines.extend))
    digests = {line["id"]: line["after_sha"] for line in lines}
    assert digests["Thing/a"] is None and digests["Thing/b"]
    assert "canary" not in repr(lines)
