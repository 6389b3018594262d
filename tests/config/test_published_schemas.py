"""What is published and what a plan prints is valid by the schemas that readers are given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconcilers.fleet import published
from tests.config.configuration import ROOT, committed, validator

FOLDER = ROOT / "schemas" / "published"
PATHS = {
    "embargo/rules.json": "embargo-rules",
    **{
        f"v2/sites/{name}.json": f"v2-sites-{name}"
        for name in ("annotations", "hostnames", "machines", "projects", "registration", "sites")
    },
}


def test_every_published_file_has_a_schema() -> None:
    environment = committed().environments["production"]
    paths = {path for file_set in published.sets(committed(), environment) for path in file_set.files}
    assert paths == set(PATHS)
    assert {path.name.removesuffix(".schema.json") for path in FOLDER.iterdir()} == {*PATHS.values(), "index"}


@pytest.mark.parametrize("path", PATHS)
def test_a_published_file_is_valid(path: str) -> None:
    environment = committed().environments["production"]
    [content] = [s.files[path] for s in published.sets(committed(), environment) if path in s.files]
    validator(FOLDER / f"{PATHS[path]}.schema.json").validate(json.loads(content))


def test_the_index_of_each_set_is_valid() -> None:
    for file_set in published.sets(committed(), committed().environments["sandbox"]):
        validator(FOLDER / "index.schema.json").validate(json.loads(file_set.index))


def plan(**scope: Any) -> dict[str, Any]:
    shown = {"scope": "staging/epoxy", "digest": "0" * 64, "complete": True, "population": {"Host": 117}, "changes": []}
    counts = {"create": 0, "update": 0, "delete": 0, "blocked": 0, "unchanged": 117}
    return {
        "v": 1, "run": "2026-03-01T10:00:00Z-7f3a", "env": "staging", "commit": "3f2c1ab",
        "base": None, "complete": True,
        "counts": counts, "scopes": [{**shown, **scope}], "problems": [],
    }  # fmt: skip


def test_readers_of_a_plan_accept_keys_that_they_do_not_know() -> None:
    checker = validator(ROOT / "schemas" / "plan.schema.json")
    assert checker.is_valid(plan())
    assert checker.is_valid({**plan(weather="fine"), "new": 1})
    assert checker.is_valid({"v": 1, "environments": [plan(), plan()]})


@pytest.mark.parametrize("broken", [{"scope": 1}, {"complete": "yes"}, {"changes": [{"action": "destroy"}]}])
def test_a_plan_of_another_shape_is_refused(broken: dict[str, Any]) -> None:
    assert not validator(ROOT / "schemas" / "plan.schema.json").is_valid(plan(**broken))
