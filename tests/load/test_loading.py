"""Loading as a whole: all problems in one run, no false consequences, one file alone, the overlay of a platform."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from reconcilers.core.errors import ConfigError
from reconcilers.load import fleet as loading
from tests import fleets

SITE = "config/sites/lga05.yaml"


def test_the_committed_configuration_is_valid() -> None:
    loaded = loading.load(fleets.CHECKOUT)
    assert [problem.line() for problem in loaded.problems] == []
    assert len(loaded.fleet.sites) == 164


def test_defaults_of_the_schema_are_filled_in(tmp_path: Path) -> None:
    fleet = loading.load(fleets.write_fleet(tmp_path)).require()
    site = fleet.sites["lga05"]
    assert site.network and site.switch
    assert site.network.ipv4_dns == ("8.8.8.8", "8.8.4.4")
    assert (site.switch.auto_negotiation, site.switch.flow_control) == ("yes", "no")
    assert (site.machines[0].disk, site.machines[0].iface) == ("sda", "eth0")
    assert (fleet.sites["dfw09"].machines[0].disk, fleet.sites["dfw09"].machines[0].iface) == ("pd-ssd", "ens4")
    assert fleet.experiments["wehe"].aliases == ()
    assert fleet.experiments["ndt"].data["container"]["privileged"] is False
    assert fleet.datatypes["replayInfo1"].data["schema"][1]["mode"] == "NULLABLE"
    assert fleet.buckets["pusher-{project}"].data["storageClass"] == "STANDARD"


def test_mappings_are_sorted_by_name(tmp_path: Path) -> None:
    fleet = loading.load(fleets.write_fleet(tmp_path)).require()
    for part in (fleet.sites, fleet.experiments, fleet.environments, fleet.datatypes, fleet.buckets):
        assert list(part) == sorted(part)


def test_places_are_kept(tmp_path: Path) -> None:
    site = loading.load(fleets.write_fleet(tmp_path)).require().sites["lga05"]
    assert str(site.span) == f"{SITE}:2:1"
    assert str(site.spans["network.ipv4.prefix"]) == f"{SITE}:12:18"
    assert str(site.machines[3].span) == f"{SITE}:19:3"


def test_problems_of_all_files_and_layers_come_sorted_in_one_run(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, SITE, "asn: 64500, uplink: 10g", "uplink: 25g")
    fleets.edit(root, "config/sites/dfw09.yaml", "provider: gcp", "provider: 'gcp")
    fleets.edit(root, "config/experiments/wehe.yaml", "index: 5", "index: 2")
    fleets.edit(root, "config/embargo/replay-year.yaml", "[replay]", "[nothing]")
    (root / "config/notes").write_text("")
    found = loading.load(root).problems
    assert [problem.code for problem in found] == ["M01", "E01", "F02", "Y02", "C02", "C04"]
    assert list(found) == sorted(found, key=lambda problem: problem.span)


def test_what_refers_to_a_broken_file_is_not_called_dangling(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, "config/datatypes/replay.yaml", "format: json", "format: xml")
    fleets.edit(root, "config/environments/sandbox.yaml", "lock_ttl_s: 60", "lock_ttl_s: soon")
    fleets.edit(
        root, SITE, "mlab4: {model: r640}", "mlab4: {model: r640, project: mlab-sandbox, project_reason: lab machine}"
    )
    (root / "config/alerts/more.yaml").write_text("kind: [\n")
    fleets.edit(root, "config/alerts/workloads.yaml", "expr: deployment:up:count", "expr: more:up:count")
    found = loading.load(root).problems
    assert [problem.span.file for problem in found] == [
        "config/alerts/more.yaml",
        "config/datatypes/replay.yaml",
        "config/environments/sandbox.yaml",
    ]


def test_a_file_with_a_problem_is_left_out_of_the_fleet(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, SITE, "metro: lga", "metro: jfk")
    loaded = loading.load(root)
    assert list(loaded.fleet.sites) == ["dfw09", "lga1t"]
    with pytest.raises(ConfigError, match="1 problem in 1 file") as caught:
        loaded.require()
    assert caught.value.problems == loaded.problems


def test_two_files_of_one_bucket_are_a_problem(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    text = fleets.FILES["config/buckets/pusher.yaml"]
    (root / "config/buckets/pusher-{project}.yaml").write_text(text)
    assert [problem.code for problem in loading.load(root).problems] == ["S01"]


def test_only_the_named_files_are_read_and_judged_by_themselves(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    fleets.edit(root, SITE, "metro: lga", "metro: jfk")
    fleets.edit(root, "config/sites/dfw09.yaml", "provider: gcp", "provider: none")
    fleets.edit(root, "config/experiments/wehe.yaml", "index: 5", "index: 2")
    wehe = Path("config/experiments/wehe.yaml")
    assert [problem.code for problem in loading.load(root, only=[Path(SITE), wehe]).problems] == ["S08"]
    assert [problem.code for problem in loading.load(root, only=[root / SITE]).problems] == ["S08"]
    assert loading.load(root, only=[wehe]).files == (str(wehe),)


def test_a_named_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    found = loading.load(root, only=[Path("config/sites/gone.yaml"), Path("/etc/hostname")]).problems
    assert [problem.line().split(" ")[0:2] for problem in found] == [
        ["/etc/hostname:1:1:", "F03"],
        ["config/sites/gone.yaml:1:1:", "F03"],
    ]


def test_an_overlay_changes_only_what_it_names(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    url = "http://127.0.0.1:8080/admin"
    overlay = {"v": 1, "environments": {"sandbox": {"targets": {"epoxy": {"url": url}}}, "elsewhere": {"x": 1}}}
    fleet = loading.load(root, overlay=overlay).require()
    assert fleet.environments["sandbox"].data["targets"]["epoxy"]["url"] == url
    assert fleet.environments["sandbox"].data["targets"]["epoxy"]["ca_file"] is None
    assert fleet.environments["staging"] == loading.load(root).fleet.environments["staging"]


def test_an_overlay_must_fit_the_schema(tmp_path: Path) -> None:
    overlay = {"environments": {"sandbox": {"targets": {"epoxy": {"url": 7}}}}}
    found = loading.load(fleets.write_fleet(tmp_path), overlay=overlay).problems
    assert [problem.code for problem in found] == ["C03"]
    assert found[0].span.file == "the overlay of sandbox"


def test_a_dotfile_of_an_editor_is_left_alone(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path)
    for name in (".gitkeep", ".lga05.yaml.swp"):
        (root / "config/sites" / name).write_text("x")
    assert loading.validate(root) == ()


def test_a_hundred_times_a_file_is_never_read_quadratically(tmp_path: Path) -> None:
    """A megabyte of the worst that is still allowed: one flat list, one long text, many keys."""
    root = fleets.write_fleet(tmp_path)
    target = root / SITE
    for text in (
        "- [a]\n" * 170_000,
        "x: " + "y" * 1_000_000,
        "".join(f"k{n}: {{}}\n" for n in range(70_000)),
        "[" * 1_000_000,
    ):
        target.write_text(text)
        began = time.monotonic()
        assert loading.load(root).problems
        assert time.monotonic() - began < 60
