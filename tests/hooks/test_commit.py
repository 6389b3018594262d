"""What `git commit` does once `mlab hooks install` has run: real git, the real hook, the real command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import fleets
from tests.e2e.checkout import MLAB, Checkout

SITE = "config/sites/lga05.yaml"
TOKEN = "AKIA" + "Z7WQPLMSNX4TRJQD"
WORKFLOW = """\
name: test
on: push
permissions: {}
jobs:
  one:
    runs-on: ubuntu-24.04
    steps:
      - run: echo ${{ github.event.head_commit.message }}
"""


def commit(checkout: Checkout, *words: str, where: Path | None = None) -> tuple[int, str]:
    """`git commit`; its status and all that it and the hook said."""
    done = subprocess.run(
        ["git", "commit", "-q", "-m", "a change", *words],
        cwd=where or checkout.root,
        capture_output=True,
        text=True,
        env={**os.environ, **checkout.environment},
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def hooked(checkout: Checkout) -> Checkout:
    assert checkout.mlab("hooks", "install").status == 0
    return checkout


def test_a_bad_site_is_refused_with_its_file_and_line(hooked: Checkout) -> None:
    fleets.edit(hooked.root, SITE, "type: physical", "type: phisical")
    hooked.git("add", "-A")
    status, said = commit(hooked)
    assert status == 1
    assert re.search(rf"^{SITE}:4:7: C04 ", said, re.M), said
    assert hooked.git("log", "--oneline").count("\n") == 1


def test_a_bad_site_of_the_whole_fleet_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "fleet"
    subprocess.run(["git", "clone", "-q", str(fleets.CHECKOUT), str(root)], check=True)
    checkout = Checkout(root, tmp_path / "state")
    assert checkout.mlab("hooks", "install").status == 0
    path = sorted((root / "config/sites").glob("*.yaml"))[0]
    path.write_text(path.read_text().replace("type: physical", "type: phisical"))
    checkout.git("add", "-A")
    status, said = commit(checkout)
    assert status == 1 and f"config/sites/{path.name}:4:7: C04" in said, said


def test_a_good_change_is_committed(hooked: Checkout) -> None:
    fleets.edit(hooked.root, SITE, "probability: 1.0", "probability: 0.5")
    hooked.git("add", "-A")
    assert commit(hooked) == (0, "")


def test_what_is_staged_is_judged_and_not_what_lies_in_the_folder(hooked: Checkout) -> None:
    fleets.edit(hooked.root, SITE, "type: physical", "type: phisical")
    hooked.git("add", "-A")
    fleets.edit(hooked.root, SITE, "type: phisical", "type: physical")
    status, said = commit(hooked)
    assert status == 1 and f"{SITE}:4:7: C04" in said
    hooked.git("add", "-A")
    fleets.edit(hooked.root, "config/sites/lga1t.yaml", "type: physical", "type: phisical")
    (hooked.root / "config/sites/new01.yaml").write_text("kind: Site\n")
    fleets.edit(hooked.root, SITE, "probability: 1.0", "probability: 0.5")
    hooked.git("add", SITE)
    assert commit(hooked) == (0, "")


@pytest.mark.parametrize("words", [("-a",), (SITE,)])
def test_a_commit_that_stages_by_itself_is_judged_by_what_it_stages(hooked: Checkout, words: tuple[str, ...]) -> None:
    fleets.edit(hooked.root, SITE, "type: physical", "type: phisical")
    status, said = commit(hooked, *words)
    assert status == 1 and f"{SITE}:4:7: C04" in said


def test_a_removal_is_checked_too(hooked: Checkout) -> None:
    hooked.git("rm", "-q", "-r", "config/sites")
    status, said = commit(hooked)
    assert status == 1 and re.search(r"^config/sites:1:1: F01 ", said, re.M), said


def test_a_file_that_is_valid_but_not_in_the_form_is_refused(hooked: Checkout) -> None:
    fleets.edit(hooked.root, SITE, "kind: Site\nname: lga05\n", "name: lga05\nkind: Site\n")
    hooked.git("add", "-A")
    status, said = commit(hooked)
    assert status == 1 and f"{SITE}:1:1: H01 hook.format" in said
    assert hooked.mlab("fmt", SITE).status == 0
    hooked.git("add", "-A")
    assert commit(hooked, "--allow-empty") == (0, "")


@pytest.mark.parametrize("file", ["notes.txt", "config/experiments/ndt.yaml"])
def test_a_secret_is_refused_wherever_it_stands(hooked: Checkout, file: str) -> None:
    path = hooked.root / file
    path.write_text((path.read_text() if path.exists() else "") + f"# key = {TOKEN}\n")
    hooked.git("add", "-A")
    status, said = commit(hooked)
    lines = len(path.read_text().splitlines())
    assert status == 1 and f"{file}:{lines}:1: H02 hook.secret: looks like a secret (AWS" in said
    assert TOKEN not in said
    path.write_text(path.read_text().replace(TOKEN, f"{TOKEN}  # pragma: allowlist secret"))
    hooked.git("add", "-A")
    assert commit(hooked) == (0, "")


def test_a_reference_to_a_secret_is_none(hooked: Checkout) -> None:
    reference = '{secretRef: "file:/run/secrets/epoxy-admin-token"}'
    fleets.edit(hooked.root, "config/environments/sandbox.yaml", reference, reference.replace("admin", "writer"))
    hooked.git("add", "-A")
    assert commit(hooked) == (0, "")


def test_jsonnet_that_is_not_in_the_form_or_none_is_refused(hooked: Checkout) -> None:
    path = hooked.root / "jsonnet" / "a.libsonnet"
    path.parent.mkdir()
    path.write_text("{a:1}\n")
    hooked.git("add", "-A")
    status, said = commit(hooked)
    assert status == 1 and "jsonnet/a.libsonnet:1:1: H01 hook.format: is not in the form" in said
    path.write_text("{ a: \n")
    hooked.git("add", "-A")
    status, said = commit(hooked)
    assert status == 1 and re.search(r"^jsonnet/a.libsonnet:2:1: H01 hook.format: is no jsonnet: ", said, re.M), said
    path.write_text("{a:1}\n")
    assert hooked.mlab("fmt").out == "jsonnet/a.libsonnet: formatted\n"
    hooked.git("add", "-A")
    assert commit(hooked) == (0, "")


def test_a_workflow_that_runs_what_a_stranger_wrote_is_refused(hooked: Checkout) -> None:
    path = hooked.root / ".github/workflows/test.yml"
    path.parent.mkdir(parents=True)
    path.write_text(WORKFLOW)
    hooked.git("add", "-A")
    status, said = commit(hooked)
    assert status == 1
    assert re.search(r"^\.github/workflows/test.yml:8:\d+: H04 .*\(actionlint expression\)$", said, re.M), said
    assert re.search(r"^\.github/workflows/test.yml:8:\d+: H04 .*\(zizmor template-injection\)$", said, re.M), said


def test_the_hook_works_in_a_linked_working_tree_and_from_a_folder_below(hooked: Checkout, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    hooked.git("worktree", "add", "-q", str(linked))
    fleets.edit(linked, SITE, "type: physical", "type: phisical")
    subprocess.run(["git", "add", "-A"], cwd=linked, check=True)
    status, said = commit(hooked, where=linked / "config")
    assert status == 1 and f"{SITE}:4:7: C04" in said


def test_a_root_below_the_top_of_its_repository_is_checked_alone(checkout: Checkout, tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    checkout.root.rename(top / "fleet")
    shutil.rmtree(top / "fleet" / ".git")
    (top / "config").mkdir()
    (top / "config" / "other.yaml").write_text("not: ours\n")
    nested = Checkout(top / "fleet", tmp_path / "state", checkout.environment)
    subprocess.run(["git", "init", "-q", "-b", "main", str(top)], check=True)
    assert nested.mlab("hooks", "install").status == 0
    nested.git("add", "-A", ":/")
    assert commit(nested, where=top) == (0, "")
    fleets.edit(nested.root, SITE, "type: physical", "type: phisical")
    nested.git("add", "-A")
    (top / "fleet" / "config" / "sites" / "stray01.yaml").write_text("kind: Site\n")
    status, said = commit(nested, where=top)
    assert status == 1 and f"{SITE}:4:7: C04" in said and "stray01" not in said


def test_a_checker_that_cannot_be_had_does_not_stand_in_the_way_of_a_commit(hooked: Checkout, tmp_path: Path) -> None:
    path = hooked.root / "jsonnet" / "a.libsonnet"
    path.parent.mkdir()
    path.write_text("{a:1}\n")
    hooked.git("add", "-A")
    variables = {"XDG_CACHE_HOME": str(tmp_path / "nothing"), "GOPROXY": "off", "GOMODCACHE": str(tmp_path / "none")}
    done = hooked.mlab("hooks", "run", **variables)
    assert done.status == 0 and "jsonnet: not checked: " in done.err and "CI checks it" in done.err
    assert hooked.mlab("hooks", "run", "--all", **variables).status == 4


def test_installing_twice_is_once_and_removing_leaves_nothing(hooked: Checkout) -> None:
    before = (hooked.root / ".git/hooks/pre-commit").read_text()
    assert hooked.mlab("hooks", "install").status == 0
    assert (hooked.root / ".git/hooks/pre-commit").read_text() == before
    assert hooked.mlab("hooks", "uninstall").status == 0
    assert not (hooked.root / ".git/hooks/pre-commit").exists()
    assert hooked.mlab("hooks", "uninstall").status == 0


@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_a_hook_of_somebody_else_is_left_alone(checkout: Checkout, action: str) -> None:
    place = checkout.root / ".git/hooks/pre-commit"
    place.parent.mkdir(exist_ok=True)
    place.write_text("#!/bin/sh\nexit 0\n")
    done = checkout.mlab("hooks", action)
    assert done.status == 3 and str(place) in done.err
    assert place.read_text() == "#!/bin/sh\nexit 0\n"


def test_the_hook_goes_where_git_looks_for_it(checkout: Checkout, tmp_path: Path) -> None:
    checkout.git("config", "core.hooksPath", str(tmp_path / "shared"))
    assert checkout.mlab("hooks", "install").status == 0
    assert (tmp_path / "shared" / "pre-commit").exists()


def test_outside_a_repository_there_is_nothing_to_hook(tmp_path: Path) -> None:
    root = fleets.write_fleet(tmp_path / "fleet")
    done = Checkout(root, tmp_path / "state").mlab("hooks", "install")
    assert done.status == 1 and "no git checkout" in done.err


@pytest.mark.parametrize(("words", "status"), [(("run", "nonsense"), 1), (("run", "--all"), 0), (("jump",), 1)])
def test_exit_statuses(checkout: Checkout, words: tuple[str, ...], status: int) -> None:
    assert checkout.mlab("hooks", *words).status == status


def test_validate_changed_reads_nothing_where_nothing_changed(checkout: Checkout) -> None:
    done = checkout.mlab("validate", "--changed")
    assert done.status == 0 and "nothing below config/ differs" in done.err
    (checkout.root / "notes.txt").write_text("no concern of ours\n")
    assert "nothing below config/ differs" in checkout.mlab("validate", "--changed").err
    (checkout.root / "config/sites/new01.yaml").write_text("kind: Site\n")
    assert checkout.mlab("validate", "--changed").status == 5


def test_validating_loads_no_client_no_engine_and_no_git() -> None:
    program = (
        "import sys; from reconcilers.cli.main import main; status = main(['validate', 'config/sites/lga05.yaml']); "
        "print(status, *sorted(m for m in sys.modules if m.split('.')[0] in "
        "{'requests', 'git', 'kubernetes', 'google', 'rjsonnet', 'detect_secrets', 'tqdm', 'prometheus_client'}))"
    )
    command = [str(MLAB.with_name("python")), "-c", program]
    done = subprocess.run(command, cwd=fleets.CHECKOUT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0"
