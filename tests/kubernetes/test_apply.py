"""What the provider does to a real cluster beyond what all providers do: fields, sets, replacements, conflicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from reconcilers.core import plan as planning
from reconcilers.core.model import Action, Change, Field, HealthState, Id, Owner, Plan, Resource, Risk
from reconcilers.core.provider import Context
from reconcilers.providers.kubernetes import marks
from tests.conformance import suite
from tests.kubernetes import test_conformance as conformance
from tests.kubernetes.test_conformance import MERGE, Harness, config_map, daemon_set, resource

harness = conformance.harness


def by_hand(harness: Harness, target: Resource, patch: Mapping[str, Any]) -> None:
    """Merge a patch as `kubectl edit` would."""
    path = harness.path(target.id)
    query = {"fieldManager": "kubectl-edit"}
    answer = harness.client.request("PATCH", path, query=query, body=patch, content_type=MERGE)
    assert answer.ok, answer.body


def live(harness: Harness, identity: Id) -> Mapping[str, Any]:
    answer = harness.client.request("GET", harness.path(identity))
    assert answer.ok, answer.body
    return answer.body


def make(harness: Harness, *resources: Resource) -> Plan:
    provider = harness.provider()
    made = suite.plan(provider, resources)
    provider.close()
    return made


def one(harness: Harness, resources: Sequence[Resource]) -> Change:
    """The only change of a plan."""
    made = make(harness, *resources)
    assert len(made.changes) == 1, suite.summary(made)
    return made.changes[0]


def paths(fields: Sequence[Field]) -> list[str]:
    return [".".join(map(str, field.path)) for field in fields]


def test_a_written_spelling_that_the_server_changes_is_no_difference(harness: Harness) -> None:
    item = resource(daemon_set(harness.tag, "none", "v1"))
    suite.applied(harness, [item])
    stored = live(harness, item.id)["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"]
    assert stored == "1"
    assert make(harness, item).changes == ()


def test_a_new_version_is_one_field_and_restarts_pods(harness: Harness) -> None:
    suite.applied(harness, [resource(daemon_set(harness.tag, "none", "v1"))])
    change = one(harness, [resource(daemon_set(harness.tag, "none", "v2"))])
    assert paths(change.fields) == ["spec.template.spec.containers.0.image"]
    assert (change.fields[0].before, change.fields[0].after) == (
        f"example/{harness.tag}:v1",
        f"example/{harness.tag}:v2",
    )
    assert change.risk is Risk.DISRUPTIVE


def test_an_inserted_container_is_one_field(harness: Harness) -> None:
    manifest = daemon_set(harness.tag, "none", "v1")
    suite.applied(harness, [resource(manifest)])
    more = daemon_set(harness.tag, "none", "v1")
    more["spec"]["template"]["spec"]["containers"].insert(0, {"name": "first", "image": "example/first:v1"})
    change = one(harness, [resource(more)])
    assert paths(change.fields) == ["spec.template.spec.containers.first"]


def test_a_field_that_git_drops_is_removed(harness: Harness) -> None:
    suite.applied(harness, [resource(config_map(harness.tag, a="1", b="2"))])
    wanted = resource(config_map(harness.tag, a="1"))
    assert paths(one(harness, [wanted]).fields) == ["data.b"]
    suite.applied(harness, [wanted])
    assert live(harness, wanted.id)["data"] == {"a": "1"}


def context(fault: Any = lambda point: None) -> Context:
    return Context(
        mark=lambda change: Owner("mlab", "x", "x", "", "c"),
        fault=fault,
        still_held=lambda: None,
    )


def test_writing_twice_is_writing_once(harness: Harness) -> None:
    wanted = resource(config_map(harness.tag, a="1"))
    provider = harness.provider()
    change = suite.plan(provider, [wanted]).changes[0]
    marked = replace(context(), mark=lambda change: Owner("mlab", harness.tag, harness.scope, "", "c"))
    provider.apply([change], marked)
    version = live(harness, wanted.id)["metadata"]["resourceVersion"]
    provider.apply([change], marked)
    assert live(harness, wanted.id)["metadata"]["resourceVersion"] == version
    gone = replace(suite.plan(provider, [wanted]), changes=())
    assert gone.unchanged == 1
    provider.close()


def test_an_immutable_field_makes_a_replacement_that_waits_for_permission(harness: Harness) -> None:
    suite.applied(harness, [resource(daemon_set(harness.tag, "none", "v1"))])
    manifest = daemon_set(harness.tag, "none", "v1")
    manifest["spec"]["selector"]["matchLabels"]["more"] = "x"
    manifest["spec"]["template"]["metadata"]["labels"]["more"] = "x"
    wanted = resource(manifest)
    change = one(harness, [wanted])
    assert change.action is Action.REPLACE and change.risk is Risk.DESTRUCTIVE
    assert change.blocked is not None and "immutable" in change.reason
    before = live(harness, wanted.id)["metadata"]["uid"]
    provider = harness.provider()
    planned = suite.plan(provider, [wanted]).changes[0]
    marked = replace(context(), mark=lambda change: Owner("mlab", harness.tag, harness.scope, "", "c"))
    provider.apply([replace(planned, blocked=None, ack="config/acks/x.yaml")], marked)
    provider.close()
    assert live(harness, wanted.id)["metadata"]["uid"] != before
    assert make(harness, wanted).changes == ()


def test_an_unknown_field_is_refused_by_name(harness: Harness) -> None:
    manifest = config_map(harness.tag, a="1")
    suite.applied(harness, [resource(manifest)])
    change = one(harness, [resource({**manifest, "dat": {"typo": "x"}})])
    assert change.blocked is not None and "dat" in change.blocked and change.impossible


def test_an_object_that_only_lost_our_label_is_marked_again(harness: Harness) -> None:
    wanted = resource(config_map(harness.tag, a="1"))
    suite.applied(harness, [wanted])
    by_hand(harness, wanted, {"metadata": {"labels": {marks.PART_OF: None}}})
    assert paths(one(harness, [wanted]).fields) == ["metadata.labels"]
    suite.applied(harness, [wanted])
    assert live(harness, wanted.id)["metadata"]["labels"][marks.PART_OF] == marks.set_id(harness.scope)


def test_a_copy_of_one_of_our_objects_is_left_alone(harness: Harness) -> None:
    wanted = resource(config_map(harness.tag, a="1"))
    suite.applied(harness, [wanted])
    stored = live(harness, wanted.id)
    meta = {key: stored["metadata"][key] for key in ("namespace", "labels", "annotations")}
    copy = {**config_map(harness.tag + "-copy", a="1"), "metadata": {**meta, "name": harness.tag + "-copy"}}
    harness.request("POST", copy, body=copy)
    made = make(harness, wanted)
    assert made.changes == () and sum(made.population.values()) == 1


def test_an_object_of_another_environment_is_not_taken_even_if_asked(harness: Harness, kubeconfig: Path) -> None:
    other = Harness(kubeconfig)
    wanted = resource(config_map(harness.tag, a="1"))
    suite.applied(other, [wanted])
    change = one(harness, [structs.replace(wanted, adopt=True)])
    assert change.action is Action.ADOPT and change.impossible
    assert change.blocked is not None and other.scope in change.blocked
    other.reset()
    other.client.close()


def test_what_client_side_apply_owned_is_ours_after_an_adoption(harness: Harness) -> None:
    manifest = config_map(harness.tag, a="1", old="x")
    query = {"fieldManager": "kubectl-client-side-apply"}
    path = harness.path(marks.identity(manifest)).rpartition("/")[0]
    assert harness.client.request("POST", path, body=manifest, query=query).ok
    wanted = structs.replace(resource(config_map(harness.tag, a="2")), adopt=True)
    suite.applied(harness, [wanted])
    assert live(harness, wanted.id)["data"] == {"a": "2"}
    assert make(harness, wanted).changes == ()


def test_a_forgotten_object_stays_without_our_marks(harness: Harness) -> None:
    wanted = resource(config_map(harness.tag, a="1"))
    suite.applied(harness, [wanted])
    provider = harness.provider()
    provider.prepare([])
    [observed] = list(provider.observe([]))
    provider.apply([Change(Action.FORGET, wanted.id, None, observed)], context())
    assert list(provider.observe([])) == []
    stored = live(harness, wanted.id)
    assert stored["data"] == {"a": "1"}
    assert "mlab" not in str(stored["metadata"].get("managedFields")) + str(stored["metadata"].get("annotations"))
    harness.request("DELETE", wanted.spec)
    provider.close()


def test_a_kind_that_git_has_no_more_is_still_found_and_pruned(harness: Harness) -> None:
    keep, *others = harness.first
    suite.applied(harness, [keep, *others])
    made = make(harness, keep)
    assert {change.id for change in made.changes} == {item.id for item in others}
    assert {change.action for change in made.changes} == {Action.DELETE}
    suite.applied(harness, [keep])
    parent = live(harness, Id("ConfigMap", f"{marks.HOME}/{marks.parent_name(harness.scope)}"))
    assert marks.listed(parent, marks.KINDS) == {"ConfigMap"}
    assert marks.notes_of(parent)[marks.NAMESPACES] == "default"
    assert parent["metadata"]["labels"][marks.SET_ID] == marks.set_id(harness.scope)


def test_a_set_of_another_tool_is_not_touched(harness: Harness) -> None:
    parent = marks.parent(harness.scope, [], None, exact=True)
    parent["metadata"]["annotations"][marks.TOOLING] = "kubectl/v1.36"
    harness.request("POST", parent, body=parent)
    made = make(harness, *harness.first)
    assert not made.complete and "belongs to kubectl/v1.36" in made.problems[0]


def test_a_protected_object_is_not_deleted_until_its_live_mark_is_gone(harness: Harness) -> None:
    keep = resource(config_map(harness.tag + "-keep", a="1"))
    guarded = resource(config_map(harness.tag, a="1"))
    suite.applied(harness, [keep, structs.replace(guarded, protect=True)])
    change = one(harness, [keep])
    assert change.action is Action.DELETE and change.blocked is not None and "protected" in change.blocked
    suite.applied(harness, [keep, guarded])
    assert one(harness, [keep]).blocked is None


def test_a_definition_is_established_before_its_objects_are_written(harness: Harness) -> None:
    group = f"{harness.tag}.test"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = resource(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"things.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
            },
        }
    )
    thing = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "default"}}
    suite.applied(harness, [definition, resource({**thing, "spec": {"a": 1}}, definition.id)])
    assert make(harness, definition, resource({**thing, "spec": {"a": 1}}, definition.id)).changes == ()
    keep = resource(config_map(harness.tag, a="1"))
    suite.applied(harness, [keep, definition])
    gone = one(harness, [keep])
    assert gone.risk is Risk.IRREVERSIBLE and gone.blocked is not None
    harness.request("DELETE", definition.spec)


def test_a_namespace_is_made_first_and_waits_until_it_is_gone(harness: Harness) -> None:
    space = resource({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": harness.tag}})
    inside = config_map("a", b="c")
    inside["metadata"]["namespace"] = harness.tag
    suite.applied(harness, [resource(inside, space.id), space])
    assert make(harness, space, resource(inside)).changes == ()
    keep = resource(config_map(harness.tag, a="1"))
    suite.applied(harness, [keep, space])
    change = one(harness, [keep])
    assert change.id == space.id and change.risk is Risk.IRREVERSIBLE
    harness.request("DELETE", space.spec)


def test_a_daemon_set_is_healthy_once_its_controller_has_seen_it(harness: Harness) -> None:
    item = resource(daemon_set(harness.tag, "none", "v1"))
    suite.applied(harness, [item])
    provider = harness.provider()
    assert provider.health(item.id).state is HealthState.CURRENT
    assert provider.health(Id("DaemonSet.apps", "default/absent")).state is HealthState.UNKNOWN
    provider.close()


def test_a_plan_without_changes_asks_per_kind_and_not_per_object(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [resource(config_map(f"{harness.tag}-{number}", a="1")) for number in range(60)]
    provider = harness.provider()
    suite.apply(provider, many)
    asked: list[tuple[str, str]] = []
    client = provider._client
    request = client.request

    def counted(method: str, path: str, **more: Any) -> Any:
        asked.append((method, path))
        return request(method, path, **more)

    monkeypatch.setattr(client, "request", counted)
    assert suite.plan(provider, many).unchanged == len(many)
    assert len(asked) <= 4, asked
    asked.clear()
    fresh = [resource(config_map(f"{harness.tag}-new-{number}", a="1")) for number in range(60)]
    assert len(suite.plan(provider, [*many, *fresh]).changes) == len(fresh)
    assert len(asked) <= 5, asked
    provider.close()


def test_two_plans_of_the_same_drift_have_one_digest(harness: Harness) -> None:
    wanted = resource(config_map(harness.tag, a="1"))
    suite.applied(harness, [wanted])
    by_hand(harness, wanted, {"data": {"a": "by hand"}})
    assert planning.digest(make(harness, wanted)) == planning.digest(make(harness, wanted))
