"""What is published and what a plan prints is valid by the schemas that readers are given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import pytest

from reconcilers.fleet import published
from tests.config.configuration import ROOT, committed, validator

FOLDER = ROOT / "schemas" / "published"
NAMES = sorted(path.name.removesuffix(".schema.json") for path in FOLDER.iterdir())


@lru_cache
def by_schema() -> Mapping[str | None, Sequence[published.File]]:
    """Every file that our environments publish, by the name of its schema."""
    found: dict[str | None, list[published.File]] = {}
    for environment in committed().environments.values():
        for file_set in published.sets(committed(), environment):
            for file in (*file_set.files, file_set.index):
                found.setdefault(published.schema_of(file.path), []).append(file)
    return found


def test_every_json_file_has_a_schema_and_every_schema_a_file() -> None:
    assert sorted(name for name in by_schema() if name) == NAMES
    other = {file.path.rpartition(".")[2] for file in by_schema()[None]}
    assert other == {"html", "zone"}, "test_zones and test_published check the form of these"


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_valid_by_its_schema(name: str) -> None:
    checker = validator(FOLDER / f"{name}.schema.json")
    for file in {file.sha256: file for file in by_schema()[name]}.values():
        checker.validate(json.loads(file.data))


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
