"""Formatting changes the form and nothing else, keeps comments with their keys, and is at rest the second time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from reconcilers.load import fleet as loading
from reconcilers.load import format as formatting
from reconcilers.load import parse
from tests import fleets

SITE = "config/sites/lga05.yaml"

MESSY = """\
# A site.
name: lga05   \r
# what it is
# in two lines
kind: Site
provider: mlab
type: physical
donated: false
transit: {uplink: 10g, asn: 64500, provider: Example Transit} # paid yearly
probability: 1.0
lifecycle: {created: 2019-01-01, retired: null, state: active}
location:
  # the airport
  country: NO
  metro: osl
  city: on
  state: ""
  continent: EU
  longitude: 11.1
  latitude: 60.2   # degrees
machines:
  mlab2: {model: r630}
  mlab1: {model: r630}
switch: {model: qfx5100-48s, make: juniper, rstp: no}
network:
  ipv6: null
  ipv4: {prefix: 198.18.0.0/26}
"""

TIDY = """\
# yaml-language-server: $schema=../../schemas/site.schema.json
# A site.
# what it is
# in two lines
kind: Site
name: lga05
type: physical
provider: mlab
donated: false
probability: 1.0
lifecycle: {state: active, created: 2019-01-01, retired: null}
location:
  metro: osl
  city: "on"
  state: ""
  # the airport
  country: "NO"
  continent: EU
  latitude: 60.2   # degrees
  longitude: 11.1
transit: {provider: Example Transit, asn: 64500, uplink: 10g} # paid yearly
network:
  ipv4: {prefix: 198.18.0.0/26}
  ipv6: null
switch: {make: juniper, model: qfx5100-48s, rstp: "no"}
machines:
  mlab2: {model: r630}
  mlab1: {model: r630}
"""


def value_of(path: Path) -> object:
    document, problems = parse.parse(path.read_bytes(), path.name)
    assert document is not None and problems == []
    return document.value


def test_a_messy_file_becomes_tidy(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    (root / SITE).write_bytes(MESSY.encode())
    assert formatting.format_tree(root, only=[Path(SITE)], write=True).changed == (SITE,)
    assert (root / SITE).read_bytes() == TIDY.encode()
    assert formatting.format_tree(root, only=[Path(SITE)]).changed == ()


def test_the_small_fleet_is_in_form(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    formatting.format_tree(root, write=True)
    assert formatting.format_tree(root) == formatting.Formatted((), ())
    assert loading.validate(root) == ()


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    (root / SITE).write_bytes(MESSY.encode())
    assert SITE in formatting.format_tree(root).changed
    assert (root / SITE).read_bytes() == MESSY.encode()


@pytest.mark.parametrize("seed", range(6))
def test_shuffled_lines_of_every_committed_site_come_back(seed: int, tmp_path: Path) -> None:
    """Top-level blocks in any order: the values stay, and the order is the schema's again."""
    chance = random.Random(seed)
    root = fleets.write_fleet(tmp_path)
    for path in chance.sample(sorted((fleets.CHECKOUT / "config/sites").glob("*.yaml")), 8):
        blocks: list[str] = []
        for line in path.read_text().splitlines(keepends=True)[1:]:
            if (line[0] in " -" and blocks) or (blocks and blocks[-1].startswith("#")):
                blocks[-1] += line
            else:
                blocks.append(line)
        chance.shuffle(blocks)
        target = root / "config/sites" / path.name
        target.write_text("".join(blocks))
        before = value_of(target)
        formatting.format_tree(root, only=[target], write=True)
        assert value_of(target) == before == value_of(path)
        keys = [line.split(":")[0] for line in target.read_text().splitlines() if line[0].isalpha()]
        assert keys[:4] == ["kind", "name", "type", "provider"] and keys[-1] in ("machines", "allow")
        assert target.read_text().count("#") == path.read_text().count("#")


DISORDERED_ITEM = """\
  - type: virtual
    # where
    name: ndt-virtual
    hostNetwork: true
    # which
    selector: {mlab/run: ndt}
"""
ORDERED_ITEM = """\
  # where
  - name: ndt-virtual
    type: virtual
    # which
    selector: {mlab/run: ndt}
    hostNetwork: true
"""


def test_a_list_of_mappings_keeps_its_dashes_and_comments(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    path = "config/experiments/ndt.yaml"
    old = "  - {name: ndt-virtual, type: virtual, selector: {mlab/run: ndt}, hostNetwork: true}\n"
    fleets.edit(root, path, old, DISORDERED_ITEM)
    formatting.format_tree(root, write=True)
    assert ORDERED_ITEM in (root / path).read_text()
    assert loading.validate(root) == ()


def test_a_file_that_cannot_be_parsed_is_a_problem_and_stays(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    (root / SITE).write_text("kind: [\n")
    found = formatting.format_tree(root, write=True)
    assert [problem.code for problem in found.problems] == ["Y02"]
    assert (root / SITE).read_text() == "kind: [\n"


def test_the_mode_of_a_file_is_kept(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    (root / SITE).write_text(MESSY)
    (root / SITE).chmod(0o640)
    formatting.format_tree(root, only=[Path(SITE)], write=True)
    assert (root / SITE).stat().st_mode & 0o777 == 0o640
