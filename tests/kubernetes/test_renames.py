"""A rename in git shows the name and what else differs, and no field that merely goes along."""

from __future__ import annotations

import pytest
from msgspec import structs

from reconcilers.core.model import Action, Change, Resource, Result
from tests.conformance import suite
from tests.kubernetes import test_conformance as conformance
from tests.kubernetes.test_conformance import Harness, config_map, daemon_set, resource

harness = conformance.harness


def renamed(old: Resource, new: Resource) -> Resource:
    return structs.replace(new, moved_from=old.id)


def planned(harness: Harness, wanted: Resource) -> dict[Action, Change]:
    provider = harness.provider()
    made = suite.plan(provider, [wanted])
    provider.close()
    return {change.action: change for change in made.changes}


def shown(change: Change) -> dict[str, tuple[object, object]]:
    return {".".join(map(str, field.path)): (field.before, field.after) for field in change.fields}


@pytest.mark.parametrize("data", [{"a": "1", "b": "2"}, {"a": "1", "b": "3"}])
def test_a_renamed_object_shows_its_name_and_what_differs(harness: Harness, data: dict[str, str]) -> None:
    old, name = resource(config_map(harness.tag, a="1", b="2")), f"{harness.tag}-new"
    suite.applied(harness, [old])
    changes = planned(harness, renamed(old, resource(config_map(name, **data))))
    differs = {} if data["b"] == "2" else {"data.b": ("2", "3")}
    assert shown(changes[Action.CREATE]) == {"metadata.name": (harness.tag, name), **differs}
    assert changes[Action.DELETE].moved == changes[Action.CREATE].id


def test_what_the_server_spells_otherwise_is_no_difference_under_a_new_name_either(harness: Harness) -> None:
    old, name = resource(daemon_set(harness.tag, "none", "v1")), f"{harness.tag}-new"
    suite.applied(harness, [old])
    new = renamed(old, resource(daemon_set(name, "none", "v2")))
    assert shown(planned(harness, new)[Action.CREATE]) == {
        "metadata.labels.workload": (harness.tag, name),
        "metadata.name": (harness.tag, name),
        "spec.selector.matchLabels.workload": (harness.tag, name),
        "spec.template.metadata.labels.workload": (harness.tag, name),
        "spec.template.spec.containers.0.image": (f"example/{harness.tag}:v1", f"example/{name}:v2"),
    }
    result = suite.apply(harness.provider(), [new])
    assert [o.result for o in result.outcomes] == [Result.APPLIED] * 2 and not result.not_converged, result
    assert suite.summary(suite.plan(harness.provider(), [new])) == []
