"""One target's servers are down, slow, busy, closed to us or talk rubbish: what `mlab` does, over all five scopes.

The other scopes finish, the run ends with 4 and in bounded time, nothing is deleted in the broken scope, and one line
says which scope, why, and what to do. Each case finds something to create, to change and to delete at the broken
target.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest

from reconcilers.core import plan as planning
from reconcilers.core.model import Action, Plan, Resource
from reconcilers.providers.targets import NAMES
from tests import dnsproxy, faultproxy, fleets
from tests.command import Done
from tests.e2e import proxied
from tests.e2e.checkout import Checkout, repository
from tests.faultproxy import BAD_ANSWERS

ENV = "sandbox"
TIMEOUT_S = 60
SHORT_S = 10
"""Where an answer never comes: the run waits for all of it."""
SILENT = ("slow", "rubbish")
BOUND_S = 150.0
"""A hang would be found by it, a machine with much else to do would not."""

pytestmark = pytest.mark.xdist_group("e2e-faults")

_GROUP = """\
# yaml-language-server: $schema=../../schemas/alert-group.schema.json
kind: AlertGroup
name: extra-{letter}
cluster: platform
records:
  - record: extra_{letter}:up:count
    expr: count by (deployment) (up)
"""
_BUCKET = """\
# yaml-language-server: $schema=../../schemas/bucket.schema.json
kind: Bucket
name: "extra-{letter}-{{project}}"
purpose: It comes and goes.
location: US
publicAccessPrevention: enforced
protect: false
iam: []
"""
_ACK = """\
# yaml-language-server: $schema=../../schemas/ack.schema.json
kind: Ack
name: extra
reason: these two come and go
expires: "2099-01-01"
allow:
  - {action: delete, match: "sandbox/buckets/Bucket/extra-a-mlab-sandbox", max: 1}
  - {action: delete, match: "sandbox/buckets/Bucket/extra-b-mlab-sandbox", max: 1}
"""


Desired = Mapping[str, tuple[Resource, ...]]


@dataclass(slots=True)
class Stand:
    """The platform, and which of two versions of the configuration is committed."""

    platform: proxied.Proxied
    letter: str = "a"
    known: dict[str, Desired] = field(default_factory=dict)

    def desired(self) -> Desired:
        """What the committed version wants at each target."""
        if self.letter not in self.known:
            self.known[self.letter] = self.platform.desired()
        return self.known[self.letter]

    def left(self, target: str) -> Plan:
        """What is left to do at a target, looked at past the proxies."""
        made = self.platform.plan(target, self.desired()[target])
        assert made.complete, made.problems
        return made

    def differ_at(self, target: str) -> Plan:
        """Commit a version that a target does not have; what is to do there."""
        made = self.left(target)
        if not made.changes:
            self.letter = {"a": "b", "b": "a"}[self.letter]
            write(self.platform.checkout, self.letter)
            made = self.left(target)
        assert {change.action for change in made.changes} == {Action.CREATE, Action.UPDATE, Action.DELETE}
        return made

    def apply(self, timeout_s: int = TIMEOUT_S) -> Done:
        """Through the proxies, as a person would."""
        began = time.monotonic()
        done = self.platform.checkout.mlab("apply", "--env", ENV, "--yes", "--timeout", str(timeout_s))
        assert time.monotonic() - began < BOUND_S
        assert "Traceback" not in done.out + done.err and "internal error" not in done.out + done.err, done.err
        return done


def write(checkout: Checkout, letter: str) -> None:
    """One of two versions that differ at every target by a creation, an update and a deletion."""
    other = {"a": "b", "b": "a"}[letter]
    root = checkout.root / "config"
    for folder, text in (("alerts", _GROUP), ("buckets", _BUCKET)):
        (root / folder / f"extra-{other}.yaml").unlink(missing_ok=True)
        (root / folder / f"extra-{letter}.yaml").write_text(text.format(letter=letter))
    site = fleets.FILES["config/sites/lga1t.yaml"].replace("198.18.1.176/28", "198.18.1.192/28")
    name, former = ({"a": "lga2t", "b": "lga3t"}[part] for part in (letter, other))
    (root / "sites" / f"{former}.yaml").unlink(missing_ok=True)
    (root / "sites" / f"{name}.yaml").write_text(site.replace("lga1t", name))
    release = {"a": "v2.1.10", "b": "v2.1.11"}[letter]
    environment = root / "environments" / f"{ENV}.yaml"
    environment.write_text(re.sub(r"images_version: \S+", f"images_version: {release}", environment.read_text()))
    image = {"a": "v0.24.1", "b": "v0.24.2"}[letter]
    ndt = fleets.FILES["config/experiments/ndt.yaml"].replace("v0.24.1", image)
    spare = f"  - {{name: ndt-spare-{letter}, type: virtual, selector: {{mlab/run: ndt-canary}}, hostNetwork: true}}\n"
    (root / "experiments" / "ndt.yaml").write_text(ndt.replace("container:\n", f"{spare}container:\n", 1))
    zone = fleets.FILES["config/zones/project.yaml"].replace("made for tests", f"version {letter}")
    (root / "zones" / "project.yaml").write_text(zone)
    checkout.commit(f"Version {letter}")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The first version, applied everywhere."""
    base = tmp_path_factory.mktemp("faults")
    root = fleets.write_fleet(base / "fleet", extra={"config/acks/extra.yaml": _ACK})
    # So small a fleet changes by more than its limits at once.
    for limit in ("max_fraction: 0.1", "max_fraction: 0.3"):
        fleets.edit(root, f"config/environments/{ENV}.yaml", limit, "max_fraction: 1")
    repository(root)
    checkout = Checkout(root, base / "state")
    write(checkout, "a")
    with proxied.platform(checkout, ENV) as platform:
        done = checkout.apply(ENV)
        assert done.status == 0, done.out + done.err
        yield Stand(platform)


BREAKABLE = ("buckets", "epoxy", "kubernetes", "monitoring")
"""The targets that are asked by HTTP."""
FAULTS = ("down", "slow", "429", "500", "403", "html", "truncated", "other json")
EACH = [
    *((target, name, BAD_ANSWERS[name][0]) for target in BREAKABLE for name in FAULTS),
    *(("dns", name, fault) for name, fault in dnsproxy.FAULTS.items()),
]


@pytest.mark.parametrize(
    ("target", "fault"), [(target, fault) for target, _, fault in EACH], ids=[f"{one[0]}-{one[1]}" for one in EACH]
)
def test_a_target_that_cannot_be_read_stops_its_scope_alone(
    stand: Stand, target: str, fault: faultproxy.Fault | dnsproxy.Fault
) -> None:
    before = stand.differ_at(target)
    with stand.platform.fault(target, fault):
        done = stand.apply(SHORT_S if fault.kind in SILENT else TIMEOUT_S)
    assert done.status == 4, done.out + done.err
    assert planning.digest(stand.left(target)) == planning.digest(before)
    assert len(clear_lines(done, target)) == 1
    assert_the_others_finished(stand, target, done)


@pytest.mark.parametrize(("target", "code"), list(zip(BREAKABLE, (403, 500, 403, 500), strict=True)))
def test_a_target_that_refuses_to_be_written_loses_nothing_and_is_completed_later(
    stand: Stand, target: str, code: int
) -> None:
    before = stand.differ_at(target)
    deletions = {change.id for change in before.changes if change.action is Action.DELETE}
    with stand.platform.fault(target, faultproxy.status(code, only=lambda method, path: method != "GET")):
        assert_incomplete(stand, target)
    assert deletions <= {change.id for change in stand.left(target).changes}
    if target != "monitoring":  # its files are one set, written and deleted in one go
        with stand.platform.fault(target, faultproxy.status(code, only=lambda method, path: method == "DELETE")):
            assert_incomplete(stand, target)
        left = stand.left(target).changes
        assert {change.action for change in left} == {Action.DELETE} and {change.id for change in left} <= deletions
    assert_healed(stand, target)


@pytest.mark.parametrize("name", ["down", "REFUSED", "SERVFAIL"])
def test_a_name_server_that_takes_no_updates_loses_nothing_and_is_completed_later(stand: Stand, name: str) -> None:
    before = stand.differ_at("dns")
    with stand.platform.fault("dns", replace(dnsproxy.FAULTS[name], updates_only=True)):
        assert_incomplete(stand, "dns")
    assert planning.digest(stand.left("dns")) == planning.digest(before)
    assert_healed(stand, "dns")


def assert_healed(stand: Stand, target: str) -> None:
    healed = stand.apply()
    assert healed.status == 0, healed.out + healed.err
    assert stand.left(target).changes == ()


def assert_incomplete(stand: Stand, target: str) -> None:
    done = stand.apply()
    assert done.status == 4, done.out + done.err
    assert clear_lines(done, target)
    assert_the_others_finished(stand, target, done)


def clear_lines(done: Done, target: str) -> list[str]:
    """What the results say of a scope that failed, each line with the scope, the reason and the next step."""
    results = done.out.rpartition("Digest")[2]
    lines = [line for line in results.splitlines() if line.startswith(f"  ! {ENV}/{target}: ")]
    for line in lines:
        assert re.search(r": [^;]{10,}.*; (run again|apply again|correct the target|another writer)", line), line
    return lines


def assert_the_others_finished(stand: Stand, target: str, done: Done) -> None:
    for other in set(NAMES) - {target}:
        assert stand.left(other).changes == (), (other, done.out)
