"""Which live fields are ours, what differs, and what had been ours."""

from __future__ import annotations

from typing import Any

import pytest

from reconcilers.providers.kubernetes import fields

OURS: dict[str, Any] = {
    "f:spec": {
        "f:containers": {
            'k:{"name":"main"}': {
                ".": {},
                "f:name": {},
                "f:image": {},
                "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
            }
        },
        "f:nodeSelector": {},
        "f:finalizers": {'v:"a"': {}},
    }
}
THEIRS: dict[str, Any] = {
    "f:spec": {"f:containers": {'k:{"name":"injected"}': {".": {}, "f:name": {}}}, "f:paused": {}}
}
FORM = fields.merged([OURS, THEIRS])


def main(**more: Any) -> dict[str, Any]:
    return {"name": "main", "image": "a:1", "ports": [{"containerPort": 80}], **more}


def live(**more: Any) -> dict[str, Any]:
    container = {**main(), "ports": [{"containerPort": 80, "protocol": "TCP"}], "imagePullPolicy": "IfNotPresent"}
    spec = {
        "containers": [{"name": "injected"}, container],
        "nodeSelector": {"a": "b"},
        "finalizers": ["a", "x"],
        "paused": True,
    }
    return {"spec": {**spec, **more}}


def desired(**more: Any) -> dict[str, Any]:
    return {"spec": {"containers": [main()], "nodeSelector": {"a": "b"}, "finalizers": ["a"], **more}}


def test_defaults_and_fields_of_others_are_not_seen() -> None:
    assert fields.view(desired(), live(), OURS, FORM) == desired()
    assert fields.holds(desired(), live(), OURS, FORM)


def test_a_field_that_git_dropped_but_we_own_is_seen() -> None:
    wanted = {"spec": {"containers": [{"name": "main"}]}}
    seen = fields.view(wanted, live(), OURS, FORM)
    assert seen["spec"]["containers"] == [main()]
    assert seen["spec"]["nodeSelector"] == {"a": "b"}
    assert seen["spec"]["finalizers"] == ["a"]
    assert "paused" not in seen["spec"]


def test_a_container_that_git_dropped_but_we_own_is_seen_and_an_injected_one_is_not() -> None:
    seen = fields.view({"spec": {"containers": []}}, live(), OURS, FORM)
    assert [container["name"] for container in seen["spec"]["containers"]] == ["main"]


def test_a_value_that_someone_else_changed_is_seen_though_we_own_it_no_more() -> None:
    changed = live()
    changed["spec"]["containers"][1]["image"] = "evil:1"
    without: dict[str, Any] = {"f:spec": {"f:containers": {'k:{"name":"main"}': {".": {}, "f:name": {}}}}}
    assert not fields.holds(desired(), changed, without, FORM)
    assert fields.view(desired(), changed, without, FORM)["spec"]["containers"][0]["image"] == "evil:1"


def test_a_key_that_someone_added_to_an_atomic_map_is_seen() -> None:
    without: dict[str, Any] = {
        "f:spec": {key: value for key, value in OURS["f:spec"].items() if key != "f:nodeSelector"}
    }
    assert not fields.holds(desired(), live(nodeSelector={"a": "b", "c": "d"}), without, FORM)
    assert fields.view(desired(), live(nodeSelector={"a": "b", "c": "d"}), without, FORM)["spec"]["nodeSelector"] == {
        "a": "b",
        "c": "d",
    }


def test_a_changed_order_of_our_containers_is_seen() -> None:
    form: dict[str, Any] = {"f:containers": {'k:{"name":"one"}': {}, 'k:{"name":"two"}': {}}}
    one, two = {"name": "one"}, {"name": "two"}
    assert fields.holds({"containers": [one, two]}, {"containers": [one, two]}, form, form)
    assert not fields.holds({"containers": [one, two]}, {"containers": [two, one]}, form, form)


def test_items_whose_key_the_server_defaults_find_their_counterpart() -> None:
    form: dict[str, Any] = {
        'k:{"containerPort":53,"protocol":"TCP"}': {},
        'k:{"containerPort":53,"protocol":"UDP"}': {},
    }
    wanted = [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}]
    there = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]
    assert [index for _, index in fields.matches(wanted, there, form)] == [1, 0]


@pytest.mark.parametrize(
    ("one", "other", "equal"), [(1, True, False), (0, False, False), (1, 1.0, True), ("a", "a", True)]
)
def test_numbers_are_not_booleans(one: Any, other: Any, equal: bool) -> None:
    assert fields.same(one, other) is equal


def test_what_a_dry_run_leaves_alone_takes_the_words_of_git() -> None:
    wanted = {"cpu": "1000m", "image": "a:2"}
    assert fields.settle(wanted, {"cpu": "1", "image": "a:1"}, {"cpu": "1", "image": "a:2"}) == {
        "cpu": "1000m",
        "image": "a:1",
    }


def test_an_object_that_a_dry_run_leaves_alone_is_what_git_wants() -> None:
    seen = {"list": [{"name": "a", "cpu": "1"}, {"name": "b"}]}
    wanted = {"list": [{"name": "a", "cpu": "1000m"}, {"name": "b"}]}
    assert fields.settle(wanted, seen, seen) == wanted


def test_an_inserted_container_is_one_difference() -> None:
    one, two, three = ({"name": name, "cpu": "1"} for name in ("one", "two", "three"))
    wanted = [{**item, "cpu": "1000m"} for item in (one, two, three)]
    assert fields.settle(wanted, [one, three], [one, two, three]) == [wanted[0], wanted[2]]


def test_a_field_that_git_drops_stays_in_view() -> None:
    assert fields.settle({"a": "1"}, {"a": "1", "b": "2"}, {"a": "1"}) == {"a": "1", "b": "2"}


SPEC = {
    "metadata": {"annotations": {"mlab.io/x.y": "1"}},
    "spec": {"containers": [{"name": "main", "image": "a:1", "ports": [{"containerPort": 80, "hostPort": 80}]}]},
}


@pytest.mark.parametrize(
    "field",
    [
        ".metadata.annotations.mlab.io/x.y",
        '.spec.containers[name="main"].image',
        '.spec.containers[name="main"].ports[containerPort=80,protocol="TCP"].hostPort',
        ".spec.containers",
    ],
)
def test_a_field_that_we_applied_before_is_known_as_ours_whatever_its_value_was(field: str) -> None:
    stored = fields.fingerprints(SPEC)
    now = {
        "metadata": {"annotations": {"mlab.io/x.y": "2"}},
        "spec": {"containers": [{"name": "main", "image": "a:2", "ports": [{"containerPort": 80, "hostPort": 81}]}]},
    }
    assert fields.never_ours([field], now, stored) == []


def test_a_field_that_is_new_in_git_was_never_ours() -> None:
    stored = fields.fingerprints({"data": {"a": "1"}})
    assert fields.never_ours([".data.a", ".data.b"], {"data": {"a": "1", "b": "2"}}, stored) == [".data.b"]


@pytest.mark.parametrize("stored", ["", "not base64!", "AAAA"])
def test_without_a_usable_record_nothing_was_ours(stored: str) -> None:
    assert fields.never_ours([".data.a"], {"data": {"a": "1"}}, stored) == [".data.a"]


def test_a_field_that_cannot_be_found_was_never_ours() -> None:
    assert fields.never_ours([".data.c"], {"data": {"a": "1"}}, fields.fingerprints({"data": {"a": "1"}})) == [
        ".data.c"
    ]
