"""What holds for every workflow file, read as data: who may do what, what is pinned, what a step may be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests import fleets

FOLDER = fleets.CHECKOUT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
every = pytest.mark.parametrize("name", [path.name for path in FILES])
UNTRUSTED = ("pull_request", "pull_request_target", "issue_comment")


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((FOLDER / name).read_text(), Loader=yaml.BaseLoader)
    return found


def steps(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for job in workflow(name)["jobs"].values():
        for step in job["steps"]:
            yield job, step


def test_there_is_one_for_each_event() -> None:
    events = {event for path in FILES for event in workflow(path.name)["on"]}
    assert events == {"pull_request", "workflow_run", "push", "schedule", "workflow_dispatch"}


@every
def test_every_step_is_a_make_target_a_verb_or_a_pinned_action(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (fleets.CHECKOUT / "Makefile").read_text(), re.M))
    for _, step in steps(name):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
            continue
        made = re.fullmatch(r"make (\w+)", step["run"])
        assert (made and made[1] in targets) or step["run"].startswith(".venv/bin/mlab "), step["run"]
        assert "\n" not in step["run"] and "${{" not in step["run"] and not re.search(r"[;|&<>`]", step["run"])


@every
def test_every_pin_says_its_version(name: str) -> None:
    for line in (FOLDER / name).read_text().splitlines():
        assert "uses:" not in line or re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_an_action_has_one_version_everywhere() -> None:
    pins = {step["uses"] for path in FILES for _, step in steps(path.name) if "uses" in step}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins})


@every
def test_nothing_is_permitted_but_what_a_job_says(name: str) -> None:
    found = workflow(name)
    assert found["permissions"] == {}
    for job in found["jobs"].values():
        assert job["permissions"]["contents"] == "read"
        assert int(job["timeout-minutes"]) <= 120
        assert job["permissions"].keys() <= {"contents", "id-token", "pull-requests", "issues"}


@every
def test_a_job_that_writes_to_github_has_no_identity_and_the_other_way_round(name: str) -> None:
    for job in workflow(name)["jobs"].values():
        rights = set(job["permissions"])
        assert not ("id-token" in rights and rights & {"pull-requests", "issues"})
        authenticates = any("google-github-actions/auth" in step.get("uses", "") for step in job["steps"])
        assert authenticates == ("id-token" in rights) == ("environment" in job)
        assert ("self-hosted" in job["runs-on"]) == ("id-token" in rights)


def test_the_code_of_a_pull_request_runs_without_any_credentials() -> None:
    for path in FILES:
        found = workflow(path.name)
        if not set(found["on"]) & set(UNTRUSTED):
            continue
        assert set(found["on"]) & set(UNTRUSTED) == {"pull_request"}
        for job in found["jobs"].values():
            assert job["permissions"] == {"contents": "read"} and job["runs-on"] == "ubuntu-24.04"
            assert "secrets." not in str(job) and "environment" not in job


@every
def test_what_runs_with_credentials_is_what_is_merged(name: str) -> None:
    if "pull_request" in workflow(name)["on"]:
        return
    for _, step in steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert not {"ref", "repository"} & step["with"].keys()


@every
def test_clones_are_whole_where_history_is_asked_and_keep_no_token(name: str) -> None:
    for job, step in steps(name):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"
            only_tells = all("mlab ci " in s["run"] or s["run"] == "make setup" for s in job["steps"] if "run" in s)
            assert only_tells or step["with"]["fetch-depth"] == "0"


@every
def test_whatever_applies_is_alone_in_its_environment_and_never_cut_off(name: str) -> None:
    for job in workflow(name)["jobs"].values():
        commands = [step["run"] for step in job["steps"] if "run" in step]
        if not any(re.search(r"mlab (apply|promote)\b", command) for command in commands):
            continue
        env = job["environment"]
        assert job["concurrency"] == {"group": f"apply-{env}", "cancel-in-progress": "false"}
        if env != "sandbox" and env != "staging":
            assert any("--plan plan.json" in command for command in commands), "production is not applied unseen"


def test_production_waits_for_staging_and_staging_for_sandbox() -> None:
    jobs = workflow("main.yml")["jobs"]
    assert [jobs[name].get("needs") for name in ("sandbox", "staging", "production-plan", "production")] == [
        None,
        ["sandbox"],
        ["staging"],
        ["production-plan"],
    ]
