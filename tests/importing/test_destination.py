"""Nothing in the destination is lost without a word: what is ours is kept up, what is not is refused, or replaced."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import fleets
from tests.importing import siteinfo
from tests.importing.command import Imported, bring, content, mlab

FEW = {name: siteinfo.SITES[name] for name in ("lga01", "lga02", "lga03", "lga0t", "dfw01")}


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A small checkout that a test may change."""
    return siteinfo.write(tmp_path / "inventory", FEW)


@pytest.fixture
def into(few: Path, tmp_path: Path) -> Path:
    """Where that checkout is imported already."""
    bring(few, into=tmp_path / "fleet")
    return tmp_path / "fleet"


def without_sites(root: Path, *, domain: str = "measurement-lab.example") -> Path:
    """A configuration with environments and experiments, and no site yet."""
    fleets.write_fleet(root)
    for path in (root / "config/sites").iterdir():
        path.unlink()
    for path in (root / "config/environments").iterdir():
        path.write_text(path.read_text().replace("measurement-lab.test", domain))
    return root


def test_a_changed_inventory_brings_its_files_up_to_date_and_says_which(few: Path, into: Path) -> None:
    (few / "sites/lga01.jsonnet").write_text(FEW["lga01"].but("New York", "Queens").text())
    (few / "sites/lga03.jsonnet").write_text(FEW["lga03"].but("New York", "Queens").text())
    (few / "sites/lga0t.jsonnet").write_text(FEW["lga0t"].but("New York", "Queens").text())
    again = bring(few, into=into)
    assert again.said["files"]["updated"] == [f"config/sites/{name}.yaml" for name in ("lga01", "lga03", "lga0t")]
    assert "city: Queens" in again.site("lga01")


def test_a_file_that_was_edited_since_is_refused_and_nothing_at_all_is_written(few: Path, into: Path) -> None:
    edited = into / "config/sites/lga01.yaml"
    edited.write_text("# the door code changed\n" + edited.read_text())
    (few / "sites/dfw01.jsonnet").write_text(FEW["dfw01"].but("created", "created").but("Dallas", "Fort Worth").text())
    before = content(into)
    done = mlab("import", "siteinfo", few, "--into", into)
    assert done.status == 3
    assert done.err.count("\n") == 1 and "config/sites/lga01.yaml" in done.err and "--replace" in done.err
    assert content(into) == before


def test_replace_overwrites_it_and_says_so(few: Path, into: Path) -> None:
    edited = into / "config/sites/lga01.yaml"
    was = edited.read_text()
    edited.write_text("# the door code changed\n" + was)
    done = mlab("import", "siteinfo", few, "--into", into, "--replace")
    assert done.status == 0
    assert "replaced config/sites/lga01.yaml" in done.out.splitlines()
    assert edited.read_text() == was


def test_a_file_of_somebody_else_with_the_same_content_is_no_conflict(few: Path, into: Path) -> None:
    (into / "config/.imported").unlink()
    again = bring(few, into=into)
    assert again.said["files"]["unchanged"] == len(FEW)
    assert (into / "config/.imported").exists()


def test_a_file_of_somebody_else_with_other_content_is_refused(few: Path, into: Path) -> None:
    (into / "config/.imported").unlink()
    fleets.edit(into, "config/sites/lga01.yaml", "probability: 1.0", "probability: 0.5")
    before = content(into)
    done = mlab("import", "siteinfo", few, "--into", into)
    assert done.status == 3 and "1 files differ" in done.err
    assert content(into) == before


def test_a_conflict_with_a_site_that_was_there_is_for_a_person_and_is_never_allowed(few: Path, tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path / "fleet")
    before = content(root)
    done = mlab("import", "siteinfo", few, "--into", root)
    assert done.status == 5
    assert "S02 site.prefix-overlap: 198.18.0.0/26 overlaps lga05 (198.18.0.0/26)" in done.out
    assert content(root) == before


def test_an_import_that_died_half_way_is_finished_by_the_next(few: Path, into: Path) -> None:
    whole = content(into)
    (into / "config/.imported").unlink()
    for name in ("lga01", "dfw01"):
        (into / f"config/sites/{name}.yaml").unlink()
    shutil.rmtree(into / "config/zones")
    bring(few, into=into)
    assert content(into) == whole


def test_what_else_lies_in_the_repository_is_left_alone(few: Path, into: Path) -> None:
    own = {
        "README.md": "ours",
        "config/sites/.notes": "ours",
        "config/sites/osl01.yaml": (into / "config/sites/lga01.yaml").read_text().replace("lga", "osl"),
        "config/experiments/.kept": "ours",
    }
    own["config/sites/osl01.yaml"] = own["config/sites/osl01.yaml"].replace("198.18.0.0", "198.18.40.0")
    own["config/sites/osl01.yaml"] = own["config/sites/osl01.yaml"].replace("2001:db8:0:1::", "2001:db8:0:40::")
    for path, text in own.items():
        (into / path).write_text(text)
    done = mlab("import", "siteinfo", few, "--into", into)
    assert "left     1 sites that no import wrote: config/sites/osl01.yaml" in done.out.splitlines()
    assert {path: (into / path).read_text() for path in own} == own


def test_a_site_that_left_the_inventory_is_named_and_stays(few: Path, into: Path) -> None:
    (few / "sites/dfw01.jsonnet").unlink()
    (few / "sites.jsonnet").write_text(
        (few / "sites.jsonnet").read_text().replace("  (import 'sites/dfw01.jsonnet'),\n", "")
    )
    again = bring(few, into=into)
    assert again.said["files"]["gone"] == ["config/sites/dfw01.yaml"]
    assert (into / "config/sites/dfw01.yaml").exists()


def test_the_list_of_imported_files_is_one_that_sha256sum_checks(into: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", "config/.imported"]
    assert subprocess.run(command, cwd=into, check=False).returncode == 0
    (into / "config/sites/lga01.yaml").write_text("edited")
    assert subprocess.run(command, cwd=into, check=False, capture_output=True).returncode == 1


def test_a_dry_run_says_the_same_and_writes_nothing(few: Path, tmp_path: Path) -> None:
    done = mlab("import", "siteinfo", few, "--into", tmp_path / "fleet", "--dry-run")
    assert done.status == 0
    assert "sites    5 created, 0 unchanged" in done.out and done.out.endswith("nothing was written\n")
    assert not (tmp_path / "fleet").exists()


def test_sites_are_not_written_through_a_link_out_of_the_repository(few: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "fleet/config").mkdir(parents=True)
    (tmp_path / "fleet/config/sites").symlink_to(tmp_path / "elsewhere")
    done = mlab("import", "siteinfo", few, "--into", tmp_path / "fleet")
    assert done.status == 3 and "is a link out of" in done.err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_repository_with_problems_of_its_own_gets_its_sites_and_hears_of_them(few: Path, into: Path) -> None:
    fleets.edit(into, "config/environments/sandbox.yaml", "lock_ttl_s: 60", "lock_ttl_s: soon")
    (few / "sites/dfw01.jsonnet").write_text(FEW["dfw01"].but("Dallas", "Fort Worth").text())
    done = mlab("import", "siteinfo", few, "--into", into)
    assert done.status == 5
    assert "config/environments/sandbox.yaml" in done.err
    assert "Fort Worth" in (into / "config/sites/dfw01.yaml").read_text()


def test_folders_that_are_there_are_not_begun_anew_and_what_differs_is_told(few: Path, tmp_path: Path) -> None:
    root = without_sites(tmp_path / "fleet", domain="measurement-lab.test")
    before = content(root)
    imported = bring(few, into=root)
    assert {path: data for path, data in content(root).items() if path in before} == before
    told = "\n".join(imported.said["differences"])
    assert "environment sandbox has domain measurement-lab.test, the inventory's hosts are below" in told


def test_experiments_that_only_the_inventory_knows_are_reserved_once(tmp_path: Path) -> None:
    source = siteinfo.write(tmp_path / "inventory", FEW, experiments=EXPERIMENTS)
    root = without_sites(tmp_path / "fleet")
    first = bring(source, into=root)
    assert first.said["files"]["reserved"] == ["config/experiments/quiz.yaml"]
    text = (root / "config/experiments/quiz.yaml").read_text()
    assert "index: 9" in text and "aliases: [quiz.old]" in text and "position: 7" in text
    assert mlab("validate", "--root", root).status == 0
    assert mlab("fmt", "--check", "--root", root, root / "config/experiments/quiz.yaml").out == ""
    assert first.said["hosts"]["differing"] == []
    for edited in (text.replace("description: ", "description: Now ours. "), "is being edited: ["):
        (root / "config/experiments/quiz.yaml").write_text(edited)
        again = mlab("import", "siteinfo", source, "--into", root)
        assert again.status == (0 if "Now" in edited else 5)
        assert (root / "config/experiments/quiz.yaml").read_text() == edited


EXPERIMENTS = """[
  { name: 'ndt', index: 2, cloud_enabled: true, ipv6_enabled: true },
  { name: 'ndt.iupui', index: 2, cloud_enabled: true, ipv6_enabled: true },
  { name: 'wehe', index: 5, cloud_enabled: false, ipv6_enabled: true },
  { name: 'quiz', index: 9, cloud_enabled: false, ipv6_enabled: true },
  { name: 'quiz.old', index: 9, cloud_enabled: false, ipv6_enabled: true },
]
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("'wehe', index: 5", "'wehe', index: 6", "experiment wehe is index 5"),
        ("'wehe', index: 5, cloud_enabled: false", "'wehe', index: 5, cloud_enabled: true", "not in the cloud"),
        (
            "  { name: 'wehe', index: 5, cloud_enabled: false, ipv6_enabled: true },\n",
            "",
            "wehe is in config/experiments",
        ),
    ],
)
def test_experiments_that_differ_are_told_because_names_and_addresses_follow_from_them(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    assert old in EXPERIMENTS
    source = siteinfo.write(tmp_path / "inventory", FEW, experiments=EXPERIMENTS.replace(old, new))
    root = without_sites(tmp_path / "fleet")
    imported: Imported = bring(source, into=root)
    assert [told in line for line in imported.said["differences"]] == [True]
