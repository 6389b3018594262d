"""What flags and modes do to a run, through the real command line, on a small fleet with a real store and ePoxy."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import fleets
from tests.e2e.checkout import MLAB, Checkout, repository

LIVE = ("--target", "epoxy", "--target", "buckets")
ENVIRONMENT = "config/environments/sandbox.yaml"
ACK = """\
# yaml-language-server: $schema=../../schemas/ack.schema.json
kind: Ack
name: urgent
reason: the machine is on fire
expires: "2099-01-01"
allow:
  - {action: delete, match: "sandbox/epoxy/Host/*", max: 9}
"""

pytestmark = [pytest.mark.xdist_group("cli-light"), pytest.mark.timeout(900)]
"""The first test waits for the platform, too: on a busy machine that alone can take minutes."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Three sites, applied to the object store and the ePoxy of sandbox and staging."""
    base = tmp_path_factory.mktemp("cli")
    root = fleets.write_fleet(base / "fleet")
    repository(root)
    checkout = Checkout(root, base / "state")
    up = checkout.mlab("up", "--light", "--env", "sandbox", "--env", "staging")
    assert up.status == 0, up.err
    try:
        yield checkout
    finally:
        assert checkout.mlab("down").status == 0


@pytest.fixture
def clean(fleet: Checkout) -> Iterator[Checkout]:
    """The same fleet, applied; commits of a test are taken back, and so is what they did."""
    head = fleet.git("rev-parse", "HEAD").strip()
    _settle(fleet)
    yield fleet
    fleet.git("reset", "-q", "--hard", head)
    fleet.git("clean", "-qfd")


def _settle(fleet: Checkout) -> None:
    done = fleet.apply_when_unlocked("sandbox", *LIVE)
    if done.status == 3:  # what a test made, the next one may not simply delete
        ack = fleet.root.parent / "settle.yaml"
        ack.write_text(ACK)
        done = fleet.apply("sandbox", *LIVE, "--ack", str(ack))
    assert done.status == 0, done.out + done.err


def edit(checkout: Checkout, path: str, old: str, new: str) -> str:
    fleets.edit(checkout.root, path, old, new)
    return checkout.commit(f"Edit {path}")


def pause(checkout: Checkout, mode: str) -> str:
    return edit(checkout, ENVIRONMENT, "epoxy: apply", f"epoxy: {mode}")


def release(checkout: Checkout) -> str:
    """A change of every host record."""
    return edit(checkout, ENVIRONMENT, "images_version: v2.1.10", "images_version: v2.1.11")


def changes(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [change for scope in document["scopes"] for change in scope["changes"]]


def record(checkout: Checkout) -> dict[str, Any]:
    done = checkout.mlab("status", "--env", "sandbox", "--json")
    assert done.status == 0, done.err
    applied: dict[str, Any] = json.loads(done.out)[0]["applied"]
    return applied


@pytest.mark.parametrize(
    "words",
    [
        ("validate",),
        ("fmt", "--check"),
        ("render", "--env", "sandbox", "--target", "epoxy"),
        ("render", "--env", "sandbox", "--against", "staging"),
        ("plan", "--env", "sandbox"),
        ("plan", *LIVE),
        ("apply", "--env", "sandbox", "--yes", *LIVE),
        ("drift", "--env", "sandbox", *LIVE),
        ("status",),
        ("explain",),
        ("explain", "S02"),
        ("schema",),
        ("schema", "site"),
        ("unlock", "sandbox/epoxy", "--holder", "nobody"),
    ],
    ids=" ".join,
)
def test_with_json_stdout_holds_json_and_nothing_else(fleet: Checkout, words: tuple[str, ...]) -> None:
    done = fleet.mlab(*words, "--json")
    assert done.out, done.err
    try:
        json.loads(done.out)
    except ValueError:
        for line in done.out.splitlines():
            assert isinstance(json.loads(line), dict), line


def test_an_invalid_configuration_is_json_too_if_asked(clean: Checkout) -> None:
    fleets.edit(clean.root, "config/sites/lga05.yaml", "type: physical", "type: phisical")
    done = clean.mlab("plan", "--env", "sandbox", "--json")
    assert done.status == 5
    assert [problem["file"] for problem in json.loads(done.out)] == ["config/sites/lga05.yaml"]


def test_a_paused_target_is_neither_looked_at_nor_written(clean: Checkout) -> None:
    before = record(clean)["scopes"]["sandbox/epoxy"]
    release(clean)
    pause(clean, "paused")
    done = clean.mlab("plan", "--env", "sandbox", "--target", "epoxy")
    assert done.status == 0
    assert f"sandbox/epoxy   left alone: its mode is `paused` ({ENVIRONMENT}:" in done.out
    assert clean.apply("sandbox", *LIVE).status == 0
    assert record(clean)["scopes"]["sandbox/epoxy"] == before
    drift = json.loads(clean.mlab("drift", "--env", "sandbox", "--target", "epoxy", "--json").out)
    assert drift[0]["scopes"][0]["paused"]


def test_a_target_in_plan_mode_shows_its_changes_and_is_refused(clean: Checkout) -> None:
    release(clean)
    pause(clean, "plan")
    status, planned = clean.plan("sandbox", "--target", "epoxy")
    assert status == 3 and changes(planned) and "its mode is `plan`" in planned["scopes"][0]["refused"][0]
    done = clean.apply("sandbox", "--target", "epoxy")
    assert done.status == 3 and "its mode is `plan`" in done.out
    assert len(changes(clean.plan("sandbox", "--target", "epoxy")[1])) == len(changes(planned))


def test_excluded_targets_and_resources_are_left_alone(clean: Checkout) -> None:
    release(clean)
    status, planned = clean.plan("sandbox", *LIVE, "--exclude", "epoxy")
    assert [scope["scope"] for scope in planned["scopes"]] == ["sandbox/buckets"] and status == 0
    everything = changes(clean.plan("sandbox", *LIVE)[1])
    assert everything
    _, planned = clean.plan("sandbox", *LIVE, "--exclude", "epoxy/Host/*")
    assert changes(planned) == []
    done = clean.mlab("plan", "--env", "sandbox", "--target", "epoxy", "--exclude", "epoxy")
    assert done.status == 1 and "no target of sandbox is left" in done.err


def test_a_partial_run_does_not_move_the_commit_of_its_scope(clean: Checkout) -> None:
    before = record(clean)["scopes"]["sandbox/epoxy"]["commit"]
    commit = release(clean)
    hosts = [change["id"] for change in changes(clean.plan("sandbox", "--target", "epoxy")[1])]
    assert len(hosts) >= 1
    only = f"epoxy/{hosts[0]}"
    done = clean.apply("sandbox", "--target", only)
    assert done.status == 0 and "partial run" in done.err
    state = record(clean)["scopes"]["sandbox/epoxy"]
    assert state["commit"] == before and state["result"] == "partial"
    assert clean.apply("sandbox", "--target", "epoxy").status == 0
    assert record(clean)["scopes"]["sandbox/epoxy"]["commit"].startswith(commit)


def test_what_was_blocked_in_an_apply_is_no_drift_afterwards(clean: Checkout) -> None:
    edit(clean, "config/buckets/siteinfo.yaml", "location: US", "location: EU")
    done = clean.apply("sandbox", "--target", "buckets")
    assert done.status == 3 and "location cannot change" in done.out
    status, planned = clean.plan("sandbox", "--target", "buckets")
    (change,) = changes(planned)
    assert status == 3 and change["cause"] == "config" and "blocked then" in change["reason"]


HOSTS = ("--target", "epoxy")
"""Alone: a site that goes changes so many published files of so small a fleet that their limit would speak first."""


def test_an_acknowledgement_out_of_git_permits_once_and_is_named_everywhere(clean: Checkout, tmp_path: Path) -> None:
    fleets.edit(clean.root, ENVIRONMENT, "Bucket: {", "Host: {delete: {max_count: 0}}\n    Bucket: {")
    (clean.root / "config" / "sites" / "lga1t.yaml").unlink()
    clean.commit("Remove a site")
    assert clean.apply("sandbox", *HOSTS).status == 3
    ack = tmp_path / "urgent.yaml"
    ack.write_text(ACK)
    done = clean.mlab("plan", "--env", "sandbox", *HOSTS, "--ack", str(ack))
    assert done.status == 2, done.out
    assert f"permitted by {ack}" in done.out and f"warning: {ack}: not in git" in done.out
    done = clean.apply("sandbox", *HOSTS, "--ack", str(ack), "--json")
    assert done.status == 0, done.out + done.err
    planned = [json.loads(line) for line in done.out.splitlines()]
    assert [e["ack"] for e in planned if e["kind"] == "change_planned" and e["action"] == "delete"] == [str(ack)]


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (None, 1, "cannot be read"),
        ("kind: Site\n", 5, "C06"),
        (ACK.replace("max: 9", "max: 0"), 5, "C05"),
        ("a: [", 5, "Y02"),
    ],
)
def test_a_bad_acknowledgement_is_refused_in_one_line(
    fleet: Checkout, tmp_path: Path, content: str | None, status: int, said: str
) -> None:
    path = tmp_path / "urgent.yaml"
    if content is not None:
        path.write_text(content)
    done = fleet.mlab("plan", "--env", "sandbox", "--ack", str(path))
    assert done.status == status and said in done.out + done.err and str(path) in done.err
    assert "Traceback" not in done.err


def test_the_events_of_an_apply_tell_the_whole_run(clean: Checkout) -> None:
    release(clean)
    done = clean.apply("sandbox", *LIVE, "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert {event["v"] for event in events} == {1} and len({event["run"] for event in events}) == 1
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "start" and kinds[-1] == "summary"
    for kind in ("scope_planned", "change_planned", "change_started", "change_finished", "scope_finished"):
        assert kind in kinds
    assert kinds.count("change_finished") == kinds.count("change_planned") == kinds.count("change_started")
    assert events[-1]["status"] == 0 and {scope["scope"] for scope in events[-1]["scopes"]} == {
        "sandbox/buckets",
        "sandbox/epoxy",
    }


def test_the_next_environment_waits_for_the_former(clean: Checkout) -> None:
    release(clean)
    pause(clean, "plan")
    done = clean.mlab("apply", "--env", "sandbox", "--env", "staging", "--yes", *LIVE)
    assert done.status == 3
    assert "staging: not begun, since sandbox did not go well" in done.err and "staging/epoxy" not in done.out


def test_a_record_that_cannot_be_written_waits_for_the_next_run(clean: Checkout) -> None:
    overlay = clean.state / "platform" / "platform.json"
    whole = overlay.read_text()
    commit = release(clean)
    document = json.loads(whole)
    document["environments"]["sandbox"]["targets"]["buckets"]["endpoint"] = "http://127.0.0.1:1"
    overlay.write_text(json.dumps(document))
    try:
        done = clean.mlab("apply", "--env", "sandbox", "--target", "epoxy", "--yes", "--timeout", "15")
        drift = clean.mlab("drift", "--env", "sandbox", "--env", "staging", "--target", "epoxy", "--timeout", "15")
    finally:
        overlay.write_text(whole)
    assert done.status == 0 and "kept in" in done.err, done.out + done.err
    assert "cause unknown" in done.out
    assert len(list((clean.state / "spool").glob("applied-sandbox-*.json"))) == 1
    assert drift.status == 4 and "sandbox/epoxy: 1 unknown" in drift.out and "staging/epoxy: " in drift.out
    assert "not yet written" in clean.mlab("status", "--env", "sandbox").out
    assert clean.apply("sandbox", "--target", "epoxy").status == 0
    assert not list((clean.state / "spool").glob("*")) and not list((clean.state / "audit").glob("*"))
    assert record(clean)["scopes"]["sandbox/epoxy"]["commit"].startswith(commit)


@pytest.mark.parametrize(
    ("typed", "status"), [(b"sandbox\n", 0), (b"yes\n", 3), (b"\x04", 3)], ids=["the name", "yes", "end of input"]
)
def test_on_a_terminal_the_name_of_the_environment_is_asked_for(clean: Checkout, typed: bytes, status: int) -> None:
    release(clean)
    ours, theirs = pty.openpty()
    command = [
        str(word) for word in (MLAB, "apply", "--env", "sandbox", *LIVE, "--root", clean.root, "--state", clean.state)
    ]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    os.write(ours, typed)
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
        os.close(ours)
    assert process.returncode == status, out + err
    assert "Type sandbox to apply this plan" in err and "http://127.0.0.1" in err
    assert "Type sandbox" not in out


def test_colour_is_for_terminals_and_for_those_who_ask(clean: Checkout) -> None:
    release(clean)
    plain = clean.mlab("plan", "--env", "sandbox", "--target", "epoxy")
    painted = clean.mlab("plan", "--env", "sandbox", "--target", "epoxy", "--color", "always")
    assert "\x1b[" not in plain.out and "\x1b[33m  ~ Host/" in painted.out


def test_annotations_point_at_the_lines_behind_the_changes(clean: Checkout) -> None:
    (clean.root / "config" / "sites" / "lga1t.yaml").unlink()
    clean.commit("Remove a site")
    done = clean.mlab("plan", "--env", "sandbox", "--target", "epoxy", "--format", "github")
    assert "::error file=config/sites/lga1t.yaml,line=1,col=1,title=sandbox/epoxy%3A delete Host/" in done.out
    assert done.out.splitlines()[-1].startswith("::notice title=plan of sandbox::Plan sandbox: ")
