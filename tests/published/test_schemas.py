"""Every published file fits its schema: for the fixtures, and for the fleet that this repository describes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jsonschema_rs
import pytest

import reconcilers
from reconcilers.fleet import published
from reconcilers.fleet.model import Fleet
from reconcilers.load import fleet as loading
from tests import fleet_values as values

ROOT = Path(reconcilers.__file__).parents[1]
SCHEMAS = ROOT / "schemas" / "published"


@pytest.fixture(scope="module")
def real() -> Fleet:
    return loading.load(ROOT).require()


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def assert_all_fit(fleet: Fleet) -> None:
    for environment in fleet.environments.values():
        for file_set in published.sets(fleet, environment):
            for path, text in file_set.files.items():
                validator(path.removesuffix(".json").replace("/", "-")).validate(json.loads(text))
            validator("index").validate(json.loads(file_set.index))


def test_the_fixtures_fit() -> None:
    assert_all_fit(values.fleet())


def test_the_fleet_of_this_repository_fits(real: Fleet) -> None:
    assert_all_fit(real)


def test_the_fleet_of_this_repository_has_the_size_of_the_public_one(real: Fleet) -> None:
    files = published.sets(real, real.environments["sandbox"])[0].files
    content = {path.rpartition("/")[2]: json.loads(text) for path, text in files.items()}
    assert len(content["sites.json"]) == 164
    # One less than the public platform: index 12 of the one /28 would be its broadcast address.
    assert len(content["hostnames.json"]) == 7122 - 1
    for name in ("machines.json", "projects.json", "registration.json", "annotations.json"):
        assert len(content[name]) == 514
    assert Counter(content["projects.json"].values()) == {"mlab-oti": 384, "mlab-staging": 117, "mlab-sandbox": 13}
    assert sum(not machine["ipv6"] for machine in content["machines.json"]) == 12
    assert sum(site.get("switch") is not None for site in content["sites.json"]) == 116
