"""Marks on objects, and the record of the set."""

from __future__ import annotations

from typing import Any

from reconcilers.core.model import Id, Owner, Resource, Span
from reconcilers.providers.kubernetes import marks

SCOPE = "sandbox/kubernetes"
OWNER = Owner("mlab", "sandbox", SCOPE, "config/experiments/ndt.yaml", "c0ffee0")


def manifest() -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ndt", "namespace": "default"}}


def resource(**more: Any) -> Resource:
    return Resource(marks.identity(manifest()), manifest(), Span("config/experiments/ndt.yaml", 3), **more)


def test_the_id_of_a_set_is_the_published_one() -> None:
    # The vector of kubectl's own tests: Secret test/my-set.
    wanted = "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1"
    assert marks.applyset_id("my-set", "test", "Secret", "") == wanted


def test_ids_name_kind_group_namespace_and_name() -> None:
    assert marks.identity(manifest()) == Id("DaemonSet.apps", "default/ndt")
    assert marks.split(Id("DaemonSet.apps", "default/ndt")) == ("DaemonSet", "apps", "default", "ndt")
    assert marks.split(Id("Namespace", "flooefi")) == ("Namespace", "", "", "flooefi")


def test_a_marked_object_names_its_owner() -> None:
    live = marks.marked(marks.desired(resource(), SCOPE), OWNER)
    assert marks.owner(live) == OWNER
    assert live["metadata"]["labels"][marks.PART_OF] == marks.set_id(SCOPE)


def test_a_copy_of_a_marked_object_is_nobodys() -> None:
    live = marks.marked(marks.desired(resource(), SCOPE), OWNER)
    live["metadata"]["name"] = "ndt-copy"
    assert marks.owner(live) is None


def test_the_commit_is_no_part_of_what_is_wanted() -> None:
    wanted = marks.desired(resource(), SCOPE)
    one, two = (marks.marked(wanted, Owner("mlab", "sandbox", SCOPE, "a", commit)) for commit in ("1", "2"))
    assert marks.notes_of(one)[marks.DIGEST] == marks.notes_of(two)[marks.DIGEST]
    assert marks.unmarked(one) == marks.unmarked(two) == wanted


def test_protection_is_marked_on_the_live_object() -> None:
    assert marks.notes_of(marks.desired(resource(protect=True), SCOPE)) == {marks.PROTECT: "true"}


def test_the_parent_names_old_and_new_until_the_run_is_complete() -> None:
    members = [Id("ConfigMap", "default/a"), Id("DaemonSet.apps", "flooefi/b"), Id("Namespace", "flooefi")]
    former = marks.parent(SCOPE, [Id("Service", "old/a")], None, exact=True)
    union = marks.parent(SCOPE, members, former, exact=False)
    assert marks.listed(union, marks.KINDS) == {"ConfigMap", "DaemonSet.apps", "Namespace", "Service"}
    assert marks.notes_of(union)[marks.NAMESPACES] == "default,flooefi,old"
    exact = marks.parent(SCOPE, members, union, exact=True)
    assert marks.notes_of(exact)[marks.KINDS] == "ConfigMap,DaemonSet.apps,Namespace"
    assert marks.same_parent(exact, exact) and not marks.same_parent(union, exact)


def test_a_parent_of_another_tool_is_foreign() -> None:
    parent = marks.parent(SCOPE, [], None, exact=True)
    assert marks.foreign_tool(parent) == ""
    parent["metadata"]["annotations"][marks.TOOLING] = "kubectl/v1.36"
    assert marks.foreign_tool(parent) == "kubectl/v1.36"
