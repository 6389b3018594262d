"""S15 and S16, and what the record of a site may lack once the site is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconcilers.fleet.derive import under
from reconcilers.fleet.inventory_sites import sites
from reconcilers.fleet.model import Site
from reconcilers.load import fleet as loading
from tests import fleet_values as values
from tests import fleets
from tests.rules.subjects import fleet, problems

SITE = "config/sites/lga05.yaml"
GONE = "config/sites/sea01.yaml"


def with_text(field: str, text: str) -> Site:
    site = values.lga05()
    if field == "city":
        return replace(site, location=replace(site.location, city=text))
    return replace(site, transit=replace(site.transit, provider=text))


@pytest.mark.parametrize("field", ["city", "provider"])
@pytest.mark.parametrize("text", ["L'Aquila", "São Paulo", "AT&T (Example), Inc.", "a", "St. John's"])
def test_names_as_people_write_them_are_clean(field: str, text: str) -> None:
    assert problems("S15", fleet(with_text(field, text))) == []


@pytest.mark.parametrize("field", ["city", "provider"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"Example', "begins or ends with a quotation mark"),
        ("Example'", "begins or ends with a quotation mark"),
        ("„Example", "begins or ends with a quotation mark"),
        ('The "Example" Net', "holds a quotation mark"),
        (" Example", "begins or ends with a space"),
        ("Example\u00a0", "begins or ends with a space"),
    ],
)
def test_what_an_edit_left_behind_is_told(field: str, text: str, words: str) -> None:
    assert [words in line for line in problems("S15", fleet(with_text(field, text)))] == [True]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({"model": ""}, "has no model;"),
        ({"disk": ""}, "has no disk;"),
        ({"model": "", "iface": ""}, "has no model and iface;"),
        ({"model": "", "disk": "", "iface": ""}, "has no model, disk and iface;"),
    ],
)
def test_what_is_not_recorded_of_a_machine_is_named(missing: dict[str, Any], words: str) -> None:
    site = values.lga05()
    first, *rest = site.machines
    subject = fleet(replace(site, machines=(replace(first, **missing), *rest)))
    assert [words in line for line in problems("S16", subject)] == [True]
    machine = sites(subject, "measurement-lab.test")[0]["machines"]["mlab1"]
    assert {"model", "disk", "iface"} - machine.keys() == missing.keys()


def test_null_is_not_the_default(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, SITE, "mlab1: {model: r630}", "mlab1: {model: r630, disk: null}")
    found = [problem.line() for problem in loading.validate(root)]
    assert found == [
        f"{SITE}:16:30: S16 site.machine-described: mlab1 of lga05 has no disk; write what the machine has"
    ]


@pytest.mark.parametrize("state", ["retired", "unlisted"])
def test_the_record_of_a_site_that_is_gone_may_lack_continent_and_state(state: str, tmp_path: Path) -> None:
    text = fleets.FILES[SITE].replace("lga05", "sea01").replace("metro: lga", "metro: sea")
    text = text.replace("state: active", f"state: {state}").replace("retired: null", "retired: 2021-01-01")
    text = text.replace("continent: NA", 'continent: ""').replace("state: NY", 'state: ""')
    text = text.replace("198.18.0.0/26", "198.18.9.0/26").replace("2001:db8:0:14::", "2001:db8:0:19::")
    assert loading.validate(fleets.write_fleet(tmp_path, extra={GONE: text})) == ()


def test_an_unlisted_site_need_not_know_when_it_went_and_need_not_agree_with_its_metro(tmp_path: Path) -> None:
    text = fleets.FILES[SITE].replace("lga05", "lga02").replace("state: active", "state: unlisted")
    text = text.replace("city: New York", "city: Newark")
    root = fleets.write_fleet(tmp_path, extra={GONE.replace("sea01", "lga02"): text})
    loaded = loading.load(root)
    assert loaded.problems == ()
    assert [machine.site for machine in under(loaded.fleet, "measurement-lab.test").machines].count("lga02") == 0
