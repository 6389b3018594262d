"""Published files fit their schemas, also those of a fleet with gone sites; and our fleet's numbers of everything."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
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


def test_the_fixtures_fit() -> None:
    """Among them what our own fleet lacks: retired sites, one of them without a continent, and a bare machine."""
    nowhere = replace(values.NEW_YORK, continent="", state="")
    bare = values.lga05(state="retired", location=nowhere)
    bare = replace(bare, machines=tuple(replace(machine, model="", disk="", iface="") for machine in bare.machines))
    fleet = values.fleet(*(make() for make in values.ALL_SITES if make is not values.lga05), bare)
    for environment in fleet.environments.values():
        for file_set in published.sets(fleet, environment):
            for file in (*file_set.files, file_set.index):
                name = published.schema_of(file.path)
                if name:
                    validator(name).validate(json.loads(file.data))


def test_the_fleet_of_this_repository_has_the_size_of_the_public_one(real: Fleet) -> None:
    [files] = [s.files for s in published.sets(real, real.environments["sandbox"]) if s.name == "v2"]
    content = {
        file.path.rpartition("/")[2]: json.loads(file.data) for file in files if file.path.startswith("v2/sites/")
    }
    assert (
        len(content["sites.json"]) == len(content["sites-by-index.json"]) == len(content["site-machines.json"]) == 164
    )
    # One less than the public platform: index 12 of the one /28 would be its broadcast address.
    assert len(content["hostnames.json"]) == 7122 - 1
    for name in ("machines.json", "projects.json", "registration.json", "annotations.json"):
        assert len(content[name]) == 514
    assert len(content["geo.json"]["features"]) == 514
    assert len(content["max-rates.json"]) == len(content["locations-physical.json"]) == 117
    assert len(content["donated.json"]) == 44
    assert len(content["kernel-parameters.json"]) == 465
    assert Counter(content["projects.json"].values()) == {"mlab-oti": 384, "mlab-staging": 117, "mlab-sandbox": 13}
    assert sum(not machine["ipv6"] for machine in content["machines.json"]) == 12
    assert sum(site.get("switch") is not None for site in content["sites.json"]) == 116
