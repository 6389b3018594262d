"""`mlab diff`: what commits change in what git wants, through the real command line, on a repository of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests import fleets
from tests.e2e.checkout import MLAB, Checkout, repository

SITE = "config/sites/lga05.yaml"
SCHEMA = json.loads((fleets.CHECKOUT / "schemas" / "plan.schema.json").read_text())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests of this file keep of rendered commits, apart from the user's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def checkout(tmp_path: Path, cache: Path) -> Iterator[Checkout]:
    """Three sites and their jsonnet; no platform, no credentials, and no way to any server."""
    root = fleets.write_fleet(tmp_path / "fleet")
    (root / "jsonnet").mkdir()
    subprocess.run(["cp", "-r", f"{fleets.CHECKOUT}/jsonnet", str(root)], check=True)
    repository(root)
    nowhere = "http://127.0.0.1:9"
    yield Checkout(
        root,
        tmp_path / "state",
        {"XDG_CACHE_HOME": str(cache), "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere, "KUBECONFIG": "/nowhere"},
    )


def difference(checkout: Checkout, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and the changes of a JSON diff by `scope/id`."""
    done = checkout.mlab("diff", *words, "--json")
    assert done.out, done.err
    document = json.loads(done.out)
    checker = jsonschema_rs.validator_for(SCHEMA)
    for entry in document["environments"]:
        checker.validate(entry)
    found = {
        f"{scope['scope']}/{change['id']}": change
        for entry in document["environments"]
        for scope in entry["scopes"]
        for change in scope["changes"]
    }
    return done.status, found


def retire(checkout: Checkout) -> str:
    fleets.edit(checkout.root, SITE, "state: active", "state: lame-duck")
    checkout.commit("Drain lga05")
    fleets.edit(checkout.root, SITE, "state: lame-duck", "state: retired")
    fleets.edit(checkout.root, SITE, "retired: null", 'retired: "2026-01-01"')
    return checkout.commit("Retire lga05")


def test_equal_states_say_so_and_exit_0(checkout: Checkout) -> None:
    for words in ((), ("HEAD",), ("HEAD..HEAD",)):
        done = checkout.mlab("diff", *words)
        assert done.status == 0 and "nothing changes at any target" in done.out, done.out + done.err


def test_a_change_is_told_with_its_line_cause_and_risk(checkout: Checkout) -> None:
    retire(checkout)
    status, found = difference(checkout, "HEAD~1..HEAD")
    name = "mlab1-lga05.mlab-oti.measurement-lab.test"
    host = found[f"production/epoxy/Host/{name}"]
    assert status == 2
    assert host["action"] == "update" and host["risk"] == "destructive" and host["cause"] == "config"
    assert host["source"] == {"file": SITE, "line": 8}
    assert host["fields"] == [{"path": ["Retired"], "before": False, "after": True, "sensitive": False}]
    text = checkout.mlab("diff", "HEAD~1..HEAD").out
    assert re.search(
        rf"^  ~ Host/{name}   {SITE}:8\S*   destructive   config: changed since \w+; a retired", text, re.M
    ), text


def test_removed_files_name_the_commit_that_removed_them(checkout: Checkout) -> None:
    (checkout.root / "config/sites/dfw09.yaml").unlink()
    gone = checkout.commit("Remove dfw09")
    checkout.commit("Nothing")
    _, found = difference(checkout, "HEAD~2..HEAD", "--target", "epoxy")
    assert {change["action"] for change in found.values()} == {"delete"}
    assert {change["source"]["removed_in"] for change in found.values()} == {gone}


def test_the_working_tree_is_compared_with_the_last_commit(checkout: Checkout) -> None:
    site = (checkout.root / "config/sites/dfw09.yaml").read_text().replace("dfw09", "dfw10").replace("0.79", "0.80")
    (checkout.root / "config/sites/dfw10.yaml").write_text(site.replace("31cd", "31ce"))
    status, found = difference(checkout, "--target", "epoxy")
    assert status == 2
    assert {change["action"] for change in found.values()} == {"create"}
    assert {change["source"]["file"] for change in found.values()} == {"config/sites/dfw10.yaml"}
    assert checkout.mlab("diff", "HEAD..HEAD").status == 0


def test_three_dots_compare_with_where_the_branches_parted(checkout: Checkout) -> None:
    checkout.git("checkout", "-q", "-b", "proposal")
    retire(checkout)
    checkout.git("checkout", "-q", "main")
    fleets.edit(checkout.root, "config/environments/sandbox.yaml", "v2.1.10", "v2.1.9")
    checkout.commit("Another change on main")
    _, apart = difference(checkout, "main...proposal", "--target", "epoxy")
    _, both = difference(checkout, "main..proposal", "--target", "epoxy")
    assert apart and all(change["fields"][0]["path"] == ["Retired"] for change in apart.values())
    assert len(both) > len(apart)


def test_what_can_never_be_applied_is_known_before_the_merge(checkout: Checkout) -> None:
    fleets.edit(checkout.root, "config/buckets/pusher.yaml", "location: US", "location: EU")
    _, found = difference(checkout, "--env", "staging")
    bucket = found["staging/buckets/Bucket/pusher-mlab-staging"]
    assert "a bucket's location cannot change" in bucket["blocked"]
    assert "1 impossible" in checkout.mlab("diff", "--env", "staging").out


def test_a_limit_that_an_apply_would_exceed_is_known_before_the_merge(checkout: Checkout) -> None:
    template = (checkout.root / "config/buckets/pusher.yaml").read_text()
    for number in range(12):
        copy = template.replace("pusher-{project}", f"extra{number}-{{project}}")
        (checkout.root / f"config/buckets/extra{number}.yaml").write_text(copy)
    checkout.commit("Buckets")
    for number in range(3):
        (checkout.root / f"config/buckets/extra{number}.yaml").unlink()
    checkout.commit("Fewer buckets")
    done = checkout.mlab("diff", "HEAD~1..HEAD", "--env", "staging")
    assert done.status == 2 and "refused: staging/buckets: delete of 3 Bucket" in done.out, done.out


def test_published_files_are_told_by_their_lines_once_for_all_environments(checkout: Checkout) -> None:
    fleets.edit(checkout.root, SITE, "uplink: 10g", "uplink: 1g")
    done = checkout.mlab("diff", "--target", "buckets/Object/*/v2/sites/sites.json")
    removed = [line for line in done.out.splitlines() if line.lstrip().startswith("-")]
    added = [line for line in done.out.splitlines() if line.lstrip().startswith(("+", "…")) and "1g" in line]
    assert len(removed) == len(added) == 1, done.out
    assert '"10g"' in removed[0] and '"1g"' in added[0]
    assert done.out.count("Object/siteinfo-") == 3


def test_another_jsonnet_file_changes_what_is_made_of_it(checkout: Checkout) -> None:
    path = checkout.root / "jsonnet/kubernetes/pod.libsonnet"
    text = path.read_text()
    assert "restartPolicy" in text or "terminationGracePeriodSeconds" in text
    path.write_text(re.sub(r"(terminationGracePeriodSeconds: )(.+?)(,?)\n", r"\g<1>7\3\n", text, count=1))
    assert checkout.mlab("diff", "HEAD..").status == 0
    status, found = difference(checkout, "--target", "kubernetes")
    assert status == 2 and found
    assert all(change["risk"] in ("safe", "disruptive") for change in found.values())


def test_an_environment_may_come_or_go(checkout: Checkout) -> None:
    (checkout.root / "config/environments/staging.yaml").unlink()
    status, found = difference(checkout, "--env", "staging")
    assert status == 2 and {change["action"] for change in found.values()} == {"delete"}
    checkout.commit("Without staging")
    checkout.git("revert", "--no-edit", "HEAD")
    _, back = difference(checkout, "HEAD~1..HEAD", "--env", "staging")
    assert {change["action"] for change in back.values()} == {"create"} and back.keys() == found.keys()


def test_an_invalid_head_is_5_with_its_lines_and_an_unreadable_base_is_4(checkout: Checkout) -> None:
    fleets.edit(checkout.root, SITE, "type: physical", "type: phisical")
    checkout.commit("Broken")
    done = checkout.mlab("diff", "HEAD~1..HEAD")
    assert done.status == 5 and f"{SITE}:4:7: C04" in done.out
    fleets.edit(checkout.root, SITE, "type: phisical", "type: physical")
    checkout.commit("Mended")
    done = checkout.mlab("diff", "HEAD~1..HEAD")
    assert done.status == 4 and "nothing is compared" in done.err and f"{SITE}:4:7: C04" in done.err and not done.out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("nowhere..HEAD",), 1, "nowhere: no such commit"),
        (("--upload-pack=x..HEAD",), 1, ""),
        (("HEAD..HEAD", "--env", "moon"), 1, "no such environment in either commit"),
        (("HEAD..HEAD", "--target", "moon"), 1, "no target matches"),
        (("HEAD~1..HEAD", "--changes-ok"), 0, ""),
        (("HEAD~1..HEAD", "--format", "markdown"), 2, ""),
    ],
)
def test_exit_statuses(checkout: Checkout, words: tuple[str, ...], status: int, said: str) -> None:
    retire(checkout)
    done = checkout.mlab("diff", *words)
    assert done.status == status and said in done.err and "Traceback" not in done.err, done.out + done.err


def test_a_shallow_clone_says_what_is_missing(checkout: Checkout, tmp_path: Path) -> None:
    retire(checkout)
    shallow = Checkout(tmp_path / "shallow", tmp_path / "state", checkout.environment)
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{checkout.root}", str(shallow.root)], check=True)
    done = shallow.mlab("diff", "HEAD~1..HEAD")
    assert done.status == 1 and "this clone is shallow: fetch the whole history" in done.err


def test_what_was_kept_of_a_commit_changes_no_answer(checkout: Checkout, cache: Path) -> None:
    retire(checkout)
    first = checkout.mlab("diff", "HEAD~1..HEAD", "-v").out
    again = checkout.mlab("diff", "HEAD~1..HEAD", "-v").out
    afresh = checkout.mlab("diff", "HEAD~1..HEAD", "-v", "--no-cache").out
    entries = [path for path in (cache / "mlab").rglob("*.json") if path.is_file()]
    assert entries
    for path in entries:
        path.write_bytes(path.read_bytes()[:-3])
    torn = checkout.mlab("diff", "HEAD~1..HEAD", "-v").out
    assert first == again == afresh == torn and "Retired" in first


def test_a_rename_is_one_also_where_both_commits_were_kept(checkout: Checkout) -> None:
    template = (checkout.root / "config/buckets/pusher.yaml").read_text()
    old, new = (checkout.root / f"config/buckets/{name}.yaml" for name in ("before", "after"))
    old.write_text(template.replace("pusher-{project}", "before-{project}"))
    checkout.commit("A bucket")
    old.unlink()
    new.write_text(template.replace("pusher-{project}", "after-{project}"))
    environment = checkout.root / "config/environments/staging.yaml"
    moved = "{from: buckets/Bucket/before-mlab-staging, to: buckets/Bucket/after-mlab-staging}"
    environment.write_text(f"{environment.read_text()}ownership:\n  moved:\n    - {moved}\n")
    checkout.commit("Rename a bucket")
    words = ("HEAD~1..HEAD", "--env", "staging")
    _, afresh = difference(checkout, *words, "--no-cache")
    _, first = difference(checkout, *words)
    _, again = difference(checkout, *words)
    assert afresh == first == again
    created = first["staging/buckets/Bucket/after-mlab-staging"]
    assert created["reason"].endswith("renamed from Bucket/before-mlab-staging"), created


def test_a_part_of_a_target_that_both_want_alike_counts_that_part_only(checkout: Checkout) -> None:
    hosts = ("--target", "epoxy/Host/*lga05*", "--env", "production")
    for words in (("HEAD..HEAD", *hosts), ("HEAD..HEAD", *hosts, "--no-cache")):
        (scope,) = json.loads(checkout.mlab("diff", *words, "--json").out)["environments"][0]["scopes"]
        assert scope["unchanged"] == scope["population"]["Host"] == 3, scope
    (whole,) = json.loads(checkout.mlab("diff", "HEAD..HEAD", "--target", "epoxy", "--json").out)["environments"][0][
        "scopes"
    ]
    assert whole["unchanged"] == whole["population"]["Host"] > 3


def test_what_both_commits_want_alike_is_not_read(checkout: Checkout) -> None:
    fleets.edit(checkout.root, SITE, "uplink: 10g", "uplink: 1g")
    checkout.commit("A slower uplink")
    checkout.mlab("diff", "HEAD~1..HEAD")
    program = (
        "from reconcilers.render import kept; from reconcilers.cli.main import main; "
        "decode = kept._decode; read = []; "
        "kept._decode = lambda content: read.append(decode(content)) or read[-1]; "
        f"main(['diff', 'HEAD~1..HEAD', '--root', {str(checkout.root)!r}]); "
        "print(sorted({entry[0] for batch in read for entry in batch}))"
    )
    command = [str(MLAB.with_name("python")), "-c", program]
    variables = {**os.environ, **checkout.environment}
    done = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "['Bucket', 'BucketIam', 'Object']", done.stdout


def test_no_client_of_a_target_is_loaded() -> None:
    program = (
        "import sys; from reconcilers.cli.main import main; main(['diff']); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'requests', 'kubernetes', 'google'}))"
    )
    command = [str(MLAB.with_name("python")), "-c", program]
    done = subprocess.run(command, cwd=fleets.CHECKOUT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
