"""`kill -9` of an apply at its writes, over all targets: the next apply converges and nothing is doubled.

The points are those that an undisturbed apply passes. `make test` kills once at each distinct kind of point, `make
nightly` at every point.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconcilers.providers import targets
from tests import fleets
from tests.e2e.checkout import Checkout, repository, stood_still

LOCK_TTL_S = 5
ENV = "sandbox"

pytestmark = [pytest.mark.xdist_group("e2e-full"), pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Three sites that have every kind of resource, and a whole platform for one environment."""
    base = tmp_path_factory.mktemp("full")
    root = fleets.write_fleet(base / "fleet")
    fleets.edit(root, f"config/environments/{ENV}.yaml", "lock_ttl_s: 60", f"lock_ttl_s: {LOCK_TTL_S}")
    repository(root)
    checkout = Checkout(root, base / "state")
    up = checkout.mlab("up", "--env", ENV)
    assert up.status == 0, up.err
    try:
        yield checkout
    finally:
        assert checkout.mlab("down").status == 0


def distinct(points: list[str]) -> list[int]:
    """The first point of each kind; every one at night."""
    if os.environ.get("MLAB_NIGHTLY"):
        return list(range(len(points)))
    kinds: dict[str, int] = {}
    for number, point in enumerate(points):
        kinds.setdefault(kind(point), number)
    return sorted(kinds.values())


def kind(point: str) -> str:
    """A point without the names of its objects: words and steps with a path or a name in them are left out."""
    words = re.sub(r"(?<=monitoring/)(prometheus|alertmanager)/\S+/", "file/", point).split()
    named = [word for word in words if not re.search(r"^[A-Z]|-mlab-|\.(json|yml)|measurement-lab", word)]
    return re.sub(r"(?<=/)[A-Z]\S*/", "", " ".join(named))


def version(checkout: Checkout, number: int) -> None:
    """A configuration that differs from the other one at every target: hosts, objects, pods, names, rules."""
    release = ("v2.1.10", "v2.1.11")[number % 2]
    path = checkout.root / "config" / "environments" / f"{ENV}.yaml"
    path.write_text(re.sub(r"images_version: \S+", f"images_version: {release}", path.read_text()))
    site = checkout.root / "config" / "sites" / "dfw09.yaml"
    city = ("Dallas", "Dallas-Fort Worth")[number % 2]
    site.write_text(re.sub(r"city: [^,}\n]+", f"city: {city}", site.read_text(), count=1))
    experiment = checkout.root / "config" / "experiments" / "ndt.yaml"
    experiment.write_text(re.sub(r"v0\.24\.\d+", f"v0.24.{number % 2 + 1}", experiment.read_text(), count=1))
    alerts = checkout.root / "config" / "alerts" / "workloads.yaml"
    alerts.write_text(re.sub(r"for: \d+m", f"for: {15 - number % 2}m", alerts.read_text(), count=1))
    zone = checkout.root / "config" / "zones" / "project.yaml"
    zone.write_text(re.sub(r"name: release-\d", f"name: release-{number % 2}", zone.read_text(), count=1))
    checkout.commit(f"Version {number}")


def passed(fleet: Checkout, log: Path) -> list[str]:
    """Apply; the points that were passed, those of every try where the machine stood still."""
    log.unlink(missing_ok=True)
    done = fleet.apply_when_unlocked(ENV, "--jobs=1", MLAB_FAULT_LOG=str(log))
    assert done.status == 0, done.out + done.err
    return [line.split(" ", 1)[1] for line in log.read_text().splitlines()]


def test_an_apply_killed_at_any_kind_of_write_is_completed_by_the_next(fleet: Checkout, tmp_path: Path) -> None:
    log = tmp_path / "points"
    first = passed(fleet, log)
    assert fleet.plan(ENV)[0] == 0
    for target in targets.NAMES:
        assert any(target in point for point in first), target
    turns = itertools.count(1)
    version(fleet, next(turns))
    points = passed(fleet, log)
    for number in distinct(points):
        version(fleet, next(turns))
        while stood_still(killed := fleet.apply(ENV, "--jobs=1", MLAB_FAULT_AT=str(number))):
            assert fleet.apply_when_unlocked(ENV).status == 0
            version(fleet, next(turns))
        assert killed.status == -9, f"{points[number]}: {killed.out}{killed.err}"
        healed = fleet.apply_when_unlocked(ENV)
        assert healed.status == 0, f"after a kill at {points[number]}: {healed.out}{healed.err}"
        status, plan = fleet.plan(ENV)
        assert status == 0, f"after a kill at {points[number]}: {plan['counts']}"
