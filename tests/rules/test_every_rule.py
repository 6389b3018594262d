"""Every rule through files and git: kept, broken, allowed with a reason, and allowed for nothing.

One way to break each rule, in the small fleet; limits and the other ways are in the tests of each subject.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

from reconcilers.fleet import rules
from reconcilers.fleet.rules.rule import Rule
from reconcilers.load import fleet as loading
from tests import fleets
from tests.e2e.checkout import repository
from tests.fleets import edit

SITE = "config/sites/lga05.yaml"
TEST_SITE = "config/sites/lga1t.yaml"
VIRTUAL = "config/sites/dfw09.yaml"
NDT = "config/experiments/ndt.yaml"
WEHE = "config/experiments/wehe.yaml"
ALERTS = "config/alerts/workloads.yaml"
EMBARGO = "config/embargo/replay-year.yaml"
COMPONENTS = "config/images/components.yaml"
ZONE = "config/zones/project.yaml"
BOOT = "config/images/boot.yaml"
ZERO = f'"sha256:{"0" * 64}"'
RELEASED = ("manifest.json", "manifest.json.sig", "stage1to2.ipxe")
"""Files that are pinned for one environment, the last of them for all as well."""
TODAY = date(2027, 1, 15)
"""After the day on which the last young rule became one of errors, before anything of the small fleet expires."""


class Break(NamedTuple):
    """What to do to the small fleet, and the file in which the rule's problem is then shown."""

    file: str
    do: Callable[[Path], object]


def change(file: str, old: str, new: str, shown: str = "") -> Break:
    return Break(shown or file, lambda root: edit(root, file, old, new))


def another_site(name: str, *edits: tuple[str, str]) -> Callable[[Path], str]:
    """A second full site with prefixes of its own, unless the edits say otherwise."""

    def write(root: Path) -> str:
        text = fleets.FILES[SITE].replace("lga05", name).replace("2019-01-01", "2020-06-30")
        for old, new in (("198.18.0.0/26", "198.18.0.64/26"), ("2001:db8:0:14::/64", "2001:db8:0:15::/64"), *edits):
            assert old in text, old
            text = text.replace(old, new)
        (root / f"config/sites/{name}.yaml").write_text(text)
        return text

    return write


RETIRED = (
    "state: active, created: 2020-06-30, retired: null",
    "state: retired, created: 2012-06-30, retired: 2018-01-01",
)
OVERLAP = another_site("lga06", ("198.18.0.64/26", "198.18.0.0/26"))
REUSED = another_site("lga02", RETIRED, ("198.18.0.64/26", "198.18.0.0/26"))


def select_a_small_site(root: Path) -> None:
    edit(root, WEHE, "index: 5", "index: 12")
    edit(root, WEHE, "type: physical}", "type: physical, selector: {mlab/site: lga1t}}")


BREAKS: Mapping[str, Break] = {
    "S01": change(SITE, "name: lga05", "name: lga06"),
    "S02": Break("config/sites/lga06.yaml", OVERLAP),
    "S03": Break(SITE, REUSED),
    "S04": change(SITE, "198.18.0.0/26", "10.0.0.0/26"),
    "S05": change("config/experiments/host.yaml", "index: null", "index: 12", TEST_SITE),
    "S06": Break(WEHE, select_a_small_site),
    "S07": change(SITE, '"2001:db8:0:14::/64"', '"2001:db8:0:14::/64", gateway: "2001:db8:0:15::1"'),
    "S08": change(TEST_SITE, "city: New York", "city: Newark"),
    "S09": change(VIRTUAL, "longitude: -97.0381", "longitude: 97.0381"),
    "S10": change(
        SITE, "mlab4: {model: r640}", "mlab4: {model: r640, project: mlab-elsewhere, project_reason: laboratory}"
    ),
    "S11": Break("config/sites/lga02.yaml", another_site("lga02", (RETIRED[0], RETIRED[1].replace("2018", "2011")))),
    "S12": change(TEST_SITE, "Example Transit", "Example Transit and Sons"),
    "S13": change(WEHE, "cloud: false", f"aliases: [w.{'x' * 48}]\ncloud: false"),
    "S14": Break(
        SITE,
        lambda root: edit(root, SITE, fleets.FILES[SITE].partition("machines:")[2], " {}\n"),
    ),
    "S15": change(VIRTUAL, "city: Dallas", "city: 'Dallas\"'"),
    "S16": change(SITE, "mlab1: {model: r630}", "mlab1: {model: r630, disk: null}"),
    "E01": change(WEHE, "index: 5", "index: 2"),
    "E02": change("config/buckets/pusher.yaml", "wehe, ", "", WEHE),
    "E03": change(WEHE, "metricsPort: 9990", "metricsPort: 9991"),
    "E04": change(WEHE, "cloud: false", "cloud: true"),
    "E05": change(NDT, "wss:///ndt/v7/download", "wss:///ndt/v8/download"),
    "E06": change(NDT, "mlab/ndt-version: production", "mlab/ndt-version: canary"),
    "A01": change(ALERTS, "PlatformCluster_FewNdt", "PlatformCluster_NdtMissing"),
    "A02": change(ALERTS, 'up{deployment="wehe"}', 'up{deployment="whee"}'),
    "A03": change(ALERTS, 'absent(up{deployment="wehe"})', "absent(up)", WEHE),
    "M01": change(EMBARGO, "period: 365d", "period: 366d"),
    "M02": change(COMPONENTS, "cluster: v1.36.3, image: v1.36.3", "cluster: v1.36.3, image: v1.34.0"),
    "M03": change(
        BOOT, ZERO, f"{ZERO}}}\n    environments: {{sandbox: {{{', '.join(f'{name}: {ZERO}' for name in RELEASED)}}}"
    ),
    "Z01": change(ZONE, "name: _acme-challenge", 'name: "@"'),
}
ALSO = {"S06": {"S05"}, "A02": {"A03"}}
"""Other rules that the same change breaks."""
OF_FLEET = [rule for rule in rules.ALL if not rule.code.startswith("W")]


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small fleet in a repository of its own, once for the session."""
    root = fleets.write_fleet(tmp_path_factory.mktemp("fleet"))
    repository(root)
    return root


@pytest.fixture
def root(committed: Path, tmp_path: Path) -> Path:
    shutil.copytree(committed, tmp_path / "fleet", symlinks=True)
    return tmp_path / "fleet"


def found(root: Path) -> dict[str, set[str]]:
    """Codes of problems by the file they are shown in."""
    files: dict[str, set[str]] = {}
    for problem in loading.load(root, today=TODAY).problems:
        files.setdefault(problem.span.file, set()).add(problem.code)
    return files


def allow(root: Path, file: str, rule: str) -> None:
    path = root / file
    path.write_text(f"{path.read_text()}allow:\n  - {{rule: {rule}, reason: a test of this rule}}\n")


def test_every_rule_has_a_way_to_be_broken() -> None:
    assert list(BREAKS) == [rule.code for rule in OF_FLEET]


def test_the_small_fleet_breaks_none(root: Path) -> None:
    loaded = loading.load(root, today=TODAY)
    assert (loaded.problems, loaded.warnings, loaded.notes) == ((), (), ())


@pytest.mark.parametrize("rule", OF_FLEET, ids=lambda rule: rule.code)
def test_a_rule_that_is_broken_is_told_in_its_file(rule: Rule, root: Path) -> None:
    BREAKS[rule.code].do(root)
    files = found(root)
    assert rule.code in files[BREAKS[rule.code].file]
    assert set().union(*files.values()) == {rule.code} | ALSO.get(rule.code, set())


@pytest.mark.parametrize("rule", OF_FLEET, ids=lambda rule: rule.code)
def test_a_broken_rule_can_be_allowed_unless_names_depend_on_it(rule: Rule, root: Path) -> None:
    BREAKS[rule.code].do(root)
    allow(root, BREAKS[rule.code].file, rule.name)
    left = set() if rule.allowable else {rule.code}
    assert set().union(*found(root).values()) == left | ALSO.get(rule.code, set())


@pytest.mark.parametrize("rule", OF_FLEET, ids=lambda rule: rule.code)
def test_a_rule_that_is_kept_cannot_be_allowed(rule: Rule, root: Path) -> None:
    file = BREAKS[rule.code].file
    allow(root, file if (root / file).exists() else SITE, rule.code)
    assert set().union(*found(root).values()) == ({"W01"} if rule.allowable else {"W02"})
