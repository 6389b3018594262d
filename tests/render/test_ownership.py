"""`ownership` of an environment: which resources it is said of, what it does to them, and when it says nothing."""

from __future__ import annotations

from typing import Any

from reconcilers.core.model import Id, Resource, Span
from reconcilers.render import ownership
from tests import fleet_values as values


def resource(name: str, kind: str = "Host") -> Resource:
    return Resource(Id(kind, name), {"a": 1}, Span("config/x.yaml", 3))


def claimed(said: Any, *resources: Resource) -> list[Resource]:
    environment = values.environment(data={"ownership": said} if said is not None else {})
    return list(ownership.claimed(environment, "epoxy", resources))


def test_where_nothing_is_said_resources_stay_as_they_are() -> None:
    item = resource("mlab1-lga05.x")
    assert claimed(None, item) == claimed({}, item) == [item]


def test_adoption_and_protection_hold_for_what_a_glob_matches() -> None:
    said = {"adopt": ["epoxy/Host/*-lga05.*"], "protect": ["epoxy/Host/mlab1-*", "buckets/Host/*"]}
    one, two, other = claimed(said, resource("mlab1-lga05.x"), resource("mlab2-lga05.x"), resource("mlab1-dfw09.x"))
    assert (one.adopt, one.protect) == (True, True)
    assert (two.adopt, two.protect) == (True, False)
    assert (other.adopt, other.protect) == (False, True)


def test_fields_are_taken_over_from_the_resources_that_are_named() -> None:
    said = {
        "take_over": [{"match": "epoxy/Host/a*", "fields": [".x"]}, {"match": "epoxy/Host/ab", "fields": [".y", ".z"]}]
    }
    a, ab, b = claimed(said, resource("a"), resource("ab"), resource("b"))
    assert (a.take_over, ab.take_over, b.take_over) == ((".x",), (".x", ".y", ".z"), ())


def test_a_rename_names_the_old_resource() -> None:
    said = {"moved": [{"from": "epoxy/Host/old/one", "to": "epoxy/Host/new/one"}]}
    new, other = claimed(said, resource("new/one"), resource("other"))
    assert new.moved_from == Id("Host", "old/one") and other.moved_from is None


def test_what_matches_nothing_is_named_if_its_target_is_known_whole() -> None:
    said = {
        "adopt": ["epoxy/Host/a", "epoxy/Host/gone", "kubernetes/Pod/x"],
        "moved": [{"from": "epoxy/Host/b", "to": "epoxy/Host/c"}],
        "take_over": [{"match": "epoxy/Host/a", "fields": [".x"]}],
    }
    environment = values.environment(data={"ownership": said})
    lines = list(ownership.stale(environment, {"epoxy": [resource("a")]}))
    assert [line.partition(": ")[2] for line in lines] == [
        "ownership.adopt epoxy/Host/gone matches nothing that git wants; remove it",
        "ownership.moved epoxy/Host/c matches nothing that git wants; remove it",
    ]
    assert lines[0].startswith("config/environments/sandbox.yaml")
