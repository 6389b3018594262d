"""Other writers of an object: their fields stay, what they changed is named, what they moved is a conflict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import structs

from reconcilers.core.errors import Conflict
from reconcilers.core.model import Resource, Result
from reconcilers.providers.kubernetes import marks
from reconcilers.providers.kubernetes.client import APPLY
from tests.conformance import suite
from tests.kubernetes import test_conformance as conformance
from tests.kubernetes.test_apply import by_hand, context, live, make, one
from tests.kubernetes.test_conformance import Harness, config_map, daemon_set, resource

harness = conformance.harness


def as_manager(harness: Harness, manager: str, manifest: Mapping[str, Any]) -> None:
    """Apply by another field manager, by force."""
    identity = marks.identity(manifest)
    query = {"fieldManager": manager, "force": "true"}
    answer = harness.client.request("PATCH", harness.path(identity), query=query, body=manifest, content_type=APPLY)
    assert answer.ok, answer.body


def test_fields_of_other_writers_stay(harness: Harness) -> None:
    wanted = resource(config_map(harness.tag, a="1"))
    suite.applied(harness, [wanted])
    by_hand(harness, wanted, {"data": {"theirs": "x"}, "metadata": {"labels": {"theirs": "y"}}})
    assert make(harness, wanted).changes == ()
    suite.applied(harness, [resource(config_map(harness.tag, a="2"))])
    assert live(harness, wanted.id)["data"] == {"a": "2", "theirs": "x"}
    assert live(harness, wanted.id)["metadata"]["labels"]["theirs"] == "y"


def test_drift_names_who_changed_the_field(harness: Harness) -> None:
    wanted = resource(config_map(harness.tag, a="1"))
    suite.applied(harness, [wanted])
    by_hand(harness, wanted, {"data": {"a": "by hand"}})
    change = one(harness, [wanted])
    assert change.observed is not None
    assert change.observed.note == "changed by kubectl-edit: .data.a"
    suite.applied(harness, [wanted])
    assert live(harness, wanted.id)["data"] == {"a": "1"}


def test_a_field_that_was_edited_and_then_changed_in_git_is_taken_back(harness: Harness) -> None:
    suite.applied(harness, [resource(daemon_set(harness.tag, "none", "v1"))])
    wanted = resource(daemon_set(harness.tag, "none", "v2"))
    container = {**daemon_set(harness.tag, "none", "hotfix")["spec"]["template"]["spec"]["containers"][0]}
    as_manager(
        harness, "kubectl", {**wanted.spec, "spec": {**wanted.spec["spec"], "template": _template(wanted, container)}}
    )
    suite.applied(harness, [wanted])
    stored = live(harness, wanted.id)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert stored == f"example/{harness.tag}:v2"


def _template(item: Resource, container: Mapping[str, Any]) -> dict[str, Any]:
    template = item.spec["spec"]["template"]
    return {**template, "spec": {**template["spec"], "containers": [container]}}


def test_a_field_that_another_manager_had_before_us_is_blocked_with_its_name(harness: Harness) -> None:
    suite.applied(harness, [resource(config_map(harness.tag, a="1"))])
    as_manager(harness, "autoscaler", config_map(harness.tag, b="theirs"))
    wanted = resource(config_map(harness.tag, a="1", b="ours"))
    change = one(harness, [wanted])
    assert change.blocked is not None and change.impossible
    assert "autoscaler: .data.b" in change.blocked and "ownership.take_over" in change.blocked
    result = suite.apply(harness.provider(), [wanted])
    assert [outcome.result for outcome in result.outcomes] == [Result.BLOCKED]
    assert live(harness, wanted.id)["data"]["b"] == "theirs"
    suite.applied(harness, [structs.replace(wanted, adopt=True)])
    assert live(harness, wanted.id)["data"]["b"] == "ours"


def test_a_field_of_another_manager_is_taken_over_where_git_names_it_and_no_other(harness: Harness) -> None:
    suite.applied(harness, [resource(config_map(harness.tag, a="1"))])
    as_manager(harness, "autoscaler", config_map(harness.tag, b="theirs", c="theirs"))
    wanted = structs.replace(resource(config_map(harness.tag, a="1", b="ours", c="ours")), take_over=(".data.b",))
    blocked = one(harness, [wanted]).blocked
    assert blocked is not None and "autoscaler: .data.c" in blocked and ".data.b" not in blocked
    suite.applied(harness, [structs.replace(wanted, take_over=(".data.b", ".data.c"))])
    assert live(harness, wanted.id)["data"] == {"a": "1", "b": "ours", "c": "ours"}


def test_a_foreign_edit_between_plan_and_write_is_a_conflict(harness: Harness) -> None:
    suite.applied(harness, [resource(config_map(harness.tag, a="1"))])
    wanted = resource(config_map(harness.tag, a="2"))
    provider = harness.provider()
    change = suite.plan(provider, [wanted]).changes[0]
    by_hand(harness, wanted, {"data": {"a": "by hand"}})
    with pytest.raises(Conflict, match="changed since it was observed"):
        provider.apply([change], context())
    assert live(harness, wanted.id)["data"] == {"a": "by hand"}
    provider.close()


def test_an_object_that_appeared_after_the_plan_is_not_taken(harness: Harness) -> None:
    wanted = resource(config_map(harness.tag, a="1"))
    provider = harness.provider()
    change = suite.plan(provider, [wanted]).changes[0]
    harness.put_unmarked(resource(config_map(harness.tag, a="theirs")))
    with pytest.raises(Conflict, match="appeared since it was observed"):
        provider.apply([change], context())
    assert live(harness, wanted.id)["data"] == {"a": "theirs"}
    harness.request("DELETE", wanted.spec)
    provider.close()


@pytest.mark.parametrize("data", [{"a": "2"}, None])
def test_an_object_that_was_replaced_after_the_plan_is_neither_written_nor_deleted(
    harness: Harness, data: dict[str, str] | None
) -> None:
    first = resource(config_map(harness.tag, a="1"))
    keep = resource(config_map(harness.tag + "-keep", a="1"))
    suite.applied(harness, [first, keep])
    wanted = [keep] if data is None else [resource(config_map(harness.tag, **data)), keep]
    provider = harness.provider()
    change = suite.plan(provider, wanted).changes[0]
    body = {key: value for key, value in live(harness, first.id).items() if key != "metadata"}
    meta = {
        k: v
        for k, v in live(harness, first.id)["metadata"].items()
        if k in ("name", "namespace", "labels", "annotations")
    }
    harness.request("DELETE", first.spec)
    harness.request("POST", first.spec, body={**body, "metadata": meta})
    with pytest.raises(Conflict, match="since it was observed"):
        provider.apply([change], context())
    assert live(harness, first.id)["data"] == {"a": "1"}
    provider.close()
