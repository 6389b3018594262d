"""Safety through the real command line, on the whole fleet, against a real object store and a real ePoxy registry."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.checkout import Checkout, served

SOURCE = Path(__file__).parents[2]
LIVE = ("--target", "epoxy", "--target", "buckets")

pytestmark = pytest.mark.xdist_group("e2e-light")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The project's own configuration, applied to object store and ePoxy of production."""
    base = tmp_path_factory.mktemp("light")
    for part in ("config", "jsonnet"):
        shutil.copytree(SOURCE / part, base / "fleet" / part)
    with served(base / "fleet", base / "state", "production", *LIVE) as checkout:
        yield checkout


@pytest.fixture
def clean(fleet: Checkout) -> Iterator[Checkout]:
    """The same fleet; commits of a test are taken back."""
    with fleet.taken_back():
        yield fleet


def sites(checkout: Checkout, kind: str, number: int) -> list[Path]:
    found = []
    for path in sorted((checkout.root / "config" / "sites").glob("*.yaml"), reverse=True):
        text = path.read_text()
        if not re.search(rf"^type: {kind}", text, re.M) or "project:" in text or path.stem.endswith("t"):
            continue
        machines = len(re.findall(r"^  mlab\d:", text, re.M))
        if machines == (4 if kind == "physical" else 1) and (kind == "physical" or "  mlab4:" not in text):
            found.append(path)
    return found[:number]


def remove(checkout: Checkout, physical: int, virtual: int) -> None:
    """Remove sites: a physical one has three hosts in production, a virtual one has one."""
    for path in sites(checkout, "physical", physical) + sites(checkout, "virtual", virtual):
        path.unlink()
    checkout.commit("Remove sites")


def test_the_second_plan_is_empty(fleet: Checkout) -> None:
    status, plan = fleet.plan("production", *LIVE)
    assert (
        status == 0 and plan["counts"]["unchanged"] == 384 + 16 + 51 and not any(s["changes"] for s in plan["scopes"])
    )


def test_targets_that_are_not_up_are_named_and_hide_nobody(fleet: Checkout) -> None:
    status, plan = fleet.plan("production")
    assert status == 4
    complete = {scope["scope"].partition("/")[2]: scope["complete"] for scope in plan["scopes"]}
    assert complete == {"buckets": True, "epoxy": True, "kubernetes": False, "dns": True, "monitoring": False}


def test_deletions_at_the_limit_are_planned(clean: Checkout) -> None:
    remove(clean, 2, 2)
    status, plan = clean.plan("production", "--target", "epoxy")
    assert status == 2 and plan["counts"]["delete"] == 8


def test_deletions_one_above_the_limit_are_refused_and_nothing_is_written(clean: Checkout) -> None:
    remove(clean, 2, 3)
    status, plan = clean.plan("production", "--target", "epoxy")
    assert status == 3 and plan["scopes"][0]["refused"]
    assert clean.apply("production", "--target", "epoxy").status == 3
    clean.git("reset", "-q", "--hard", "HEAD~1")
    assert clean.plan("production", "--target", "epoxy")[0] == 0


def test_an_acknowledgement_permits_what_the_limit_refuses(clean: Checkout) -> None:
    remove(clean, 2, 3)
    ack = clean.permit("production/epoxy/Host/*", deletions=1)
    status, plan = clean.plan("production", "--target", "epoxy")
    assert status == 2
    assert [c["ack"] for c in plan["scopes"][0]["changes"]].count(ack) == 1


def test_every_change_names_its_file_cause_and_commit(clean: Checkout) -> None:
    gone = sites(clean, "virtual", 1)[0]
    gone.unlink()
    commit = clean.commit("Remove one")
    _, plan = clean.plan("production", "--target", "epoxy")
    (change,) = plan["scopes"][0]["changes"]
    assert change["source"] == {"file": f"config/sites/{gone.name}", "line": 0, "removed_in": commit}
    assert change["cause"] == "config" and commit in change["reason"] and change["risk"] == "destructive"


def test_retiring_keeps_the_record_and_takes_the_boot(clean: Checkout) -> None:
    path = sites(clean, "physical", 1)[0]
    active = path.read_text()
    assert "state: active" in active and "retired: null" in active
    path.write_text(active.replace("state: active", "state: lame-duck", 1))
    clean.commit("Drain one")
    text = active.replace("state: active", "state: retired", 1)
    path.write_text(text.replace("retired: null", 'retired: "2026-01-01"', 1))
    clean.commit("Retire one")
    status, plan = clean.plan("production", "--target", "epoxy")
    changes = plan["scopes"][0]["changes"]
    assert status == 2 and len(changes) == 3
    assert all(c["action"] == "update" and c["risk"] == "destructive" for c in changes)
    assert all(c["source"]["file"] == f"config/sites/{path.name}" and c["source"]["line"] for c in changes)


def test_uncommitted_configuration_is_planned_but_not_applied(clean: Checkout) -> None:
    sites(clean, "virtual", 1)[0].unlink()
    assert clean.plan("production", "--target", "epoxy")[0] == 2
    done = clean.apply("production", "--target", "epoxy")
    assert done.status == 3 and "uncommitted" in done.err


def test_another_digest_than_the_plans_is_refused(clean: Checkout) -> None:
    done = clean.mlab("apply", "--env", "production", "--yes", "--digest", "0" * 12, *LIVE)
    assert done.status == 3 and "it changed since its approval" in done.err


def test_production_is_not_applied_unseen(clean: Checkout) -> None:
    remove(clean, 0, 1)
    done = clean.mlab("apply", "--env", "production", "--yes", "--target", "epoxy")
    assert done.status == 3 and "not applied unseen" in done.err


def test_a_kept_plan_permits_itself_and_nothing_more(clean: Checkout, tmp_path: Path) -> None:
    kept = tmp_path / "plan.json"
    remove(clean, 0, 1)
    assert clean.mlab("plan", "--env", "production", "--target", "epoxy", "--out", str(kept)).status == 2
    remove(clean, 0, 1)
    done = clean.mlab("apply", "--env", "production", "--target", "epoxy", "--yes", "--plan", str(kept))
    assert done.status == 3 and "not approved" in done.err


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("validate",), 0),
        (("plan", "--env", "nowhere"), 1),
        (("plan", "--target", "nothing"), 1),
        (("frobnicate",), 1),
        (("status", "--env", "production"), 0),
        (("explain", "S02"), 0),
        (("explain", "S99"), 1),
        (("schema", "site"), 0),
        (("render", "--env", "production", "--target", "epoxy"), 0),
        (("drift", "--env", "production", "--target", "epoxy"), 0),
    ],
)
def test_exit_statuses(fleet: Checkout, words: tuple[str, ...], status: int) -> None:
    done = fleet.mlab(*words)
    assert done.status == status, done.out + done.err
    assert "Traceback" not in done.out + done.err


def test_an_invalid_file_ends_every_verb_with_5_and_its_line(clean: Checkout) -> None:
    path = sites(clean, "physical", 1)[0]
    path.write_text(path.read_text().replace("type: physical", "type: phisical"))
    for verb in (("validate",), ("render",), ("plan", "--env", "production")):
        done = clean.mlab(*verb)
        assert done.status == 5
        assert re.search(rf"^config/sites/{path.name}:\d+:\d+: C\d\d ", done.out, re.M)


def test_the_admin_token_is_nowhere_but_in_its_file(fleet: Checkout) -> None:
    token = (fleet.state / "platform" / "production" / "epoxy" / "admin-token").read_text().strip()
    assert len(token) > 20
    shown = fleet.mlab("plan", "--env", "production", "-v").out + fleet.mlab("status", "--json").out
    assert token not in shown
    for path, content in fleet.contents():
        assert path.name == "admin-token" or token.encode() not in content, path
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert token.encode() not in command.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
