"""Every job's commands, run on clones against the running platform and the API: a change from its proposal to drift."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import fleets, github_api
from tests.github_api import Hub
from tests.light import GROUP, Light
from tests.serving import served
from tests.workflows.runner import Actions, Job

pytestmark = [GROUP, pytest.mark.timeout(900)]
PARTS = (".ci", ".github", "Makefile", "pyproject.toml", "requirements.lock", "services/local/modules", "schemas")
HOST = "mlab1-lga1t.mlab-sandbox.measurement-lab.test"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with github_api.running() as found:
        yield found


@pytest.fixture
def actions(light: Light, hub: Hub, tmp_path: Path) -> Iterator[Actions]:
    """The fleet with the project's own workflows in it, as an origin that jobs clone."""
    root = light.checkout.root
    for part in PARTS:
        source = fleets.CHECKOUT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / part)
    (root / ".gitignore").write_text(".venv\n*.json\n*.md\nreports/\n")
    light.checkout.commit("Workflows")
    for env in ("sandbox", "staging", "production"):
        assert light.checkout.apply(env).status == 0
    made = Actions(
        root, light.checkout.state, hub, tmp_path, variables={"SOAK_S": "0"}, environment=light.checkout.environment
    )
    yield made
    for job in ("proposal", "evil"):
        subprocess.run(["git", "-C", str(root), "branch", "-q", "-D", job], capture_output=True, check=False)


def propose(light: Light, hub: Hub, branch: str = "proposal") -> tuple[int, dict[str, Any], dict[str, Any]]:
    """A pull request of the branch: its number, and the payloads of both events."""
    git = light.checkout.git
    number = next(iter(hub.issues), None) or hub.pull()
    head, base = git("rev-parse", branch).strip(), git("rev-parse", "main").strip()
    pull = {"number": number, "head": {"sha": head, "ref": branch}, "base": {"sha": base, "ref": "main"}}
    run = {
        "event": "pull_request",
        "head_sha": head,
        "head_branch": branch,
        "head_repository": {"full_name": github_api.REPOSITORY},
        "pull_requests": [pull],
    }
    return number, {"pull_request": pull}, {"workflow_run": run}


def succeeded(jobs: dict[str, Job]) -> dict[str, Job]:
    bad = [job.name + ":\n" + job.output for job in jobs.values() if job.result != "success"]
    assert not bad, "\n".join(bad)
    return jobs


def branch(light: Light, name: str, path: str, old: str, new: str) -> None:
    git = light.checkout.git
    git("checkout", "-q", "-B", name, "main")
    fleets.edit(light.checkout.root, path, old, new)
    light.checkout.commit(f"Change {path}")
    git("checkout", "-q", "main")


def test_a_change_goes_from_its_proposal_through_all_environments(light: Light, hub: Hub, actions: Actions) -> None:
    branch(light, "proposal", "config/environments/production.yaml", "v2.1.10", "v2.1.9")
    number, pull, run = propose(light, hub)

    own = succeeded(actions.run("pull-request.yml", "pull_request", pull, ref="proposal"))
    assert "ImagesVersion  v2.1.10 -> v2.1.9" in own["diff"].summary
    assert hub.said(number) == [], "a pull request's own code writes nothing on GitHub"

    succeeded(actions.run("plan.yml", "workflow_run", run))
    comments = hub.said(number)
    assert [text.split("\n")[0] for text in comments] == [
        "<!-- mlab-diff -->",
        "<!-- mlab-plan:sandbox -->",
        "<!-- mlab-plan:staging -->",
        "<!-- mlab-plan:production -->",
    ]
    assert "0 to update" in comments[1] and "ImagesVersion  v2.1.10 -> v2.1.9" in comments[3]
    assert "actions/runs/2" in comments[3]

    light.checkout.git("checkout", "-q", "proposal")
    fleets.edit(light.checkout.root, "config/environments/production.yaml", "v2.1.9", "v2.1.8")
    light.checkout.commit("Change it again")
    light.checkout.git("checkout", "-q", "main")
    _, _, run = propose(light, hub)
    hub.rate_limit(1)
    succeeded(actions.run("plan.yml", "workflow_run", run))
    edited = hub.said(number)
    assert len(edited) == 4 and "v2.1.10 -> v2.1.8" in edited[3] and "v2.1.9" not in edited[3]

    light.checkout.git("merge", "-q", "--no-ff", "-m", "Merge it", "proposal")
    merged = succeeded(actions.run("main.yml", "push", {}))
    assert list(merged) == ["sandbox", "staging", "production-plan", "production"]
    assert "ImagesVersion  v2.1.10 -> v2.1.8" in merged["production-plan"].summary
    assert light.checkout.plan("production")[0] == 0
    status = json.loads(light.checkout.mlab("status", "--json").out)
    head = light.checkout.git("rev-parse", "HEAD").strip()
    assert {entry["applied"]["commit"] for entry in status} == {head}
    assert {entry["applied"]["actor"] for entry in status} == {"a-person"}


def test_drift_has_one_issue_that_is_opened_edited_and_closed(light: Light, hub: Hub, actions: Actions) -> None:
    succeeded(actions.run("drift.yml", "schedule", {}))
    assert not hub.issues
    assert light.host("DELETE", "sandbox", HOST, headers={"If-Match": light.etag("sandbox", HOST)}).ok
    succeeded(actions.run("drift.yml", "schedule", {}))
    (issue,) = hub.issues.values()
    assert issue["title"] == "sandbox: 1 resource drifted" and issue["labels"] == [{"name": "drift"}]
    assert f"missing: `Host/{HOST}`" in issue["body"]
    before = sum(call.startswith(("POST", "PATCH")) for call in hub.calls)
    succeeded(actions.run("drift.yml", "schedule", {}))
    assert sum(call.startswith(("POST", "PATCH")) for call in hub.calls) == before, "nobody is told twice"

    inputs = {"env": "sandbox", "action": "apply", "target": "epoxy", "ack": ""}
    healed = succeeded(actions.run("manual.yml", "workflow_dispatch", {}, inputs=inputs))
    assert f"Host/{HOST}" in healed["plan"].summary
    succeeded(actions.run("drift.yml", "schedule", {}))
    assert issue["state"] == "closed" and "is what was last applied" in hub.said(issue["number"])[-1]


def test_a_manual_plan_applies_nothing(light: Light, hub: Hub, actions: Actions) -> None:
    assert light.host("DELETE", "sandbox", HOST, headers={"If-Match": light.etag("sandbox", HOST)}).ok
    inputs = {"env": "sandbox", "action": "plan", "target": "", "ack": ""}
    jobs = actions.run("manual.yml", "workflow_dispatch", {}, inputs=inputs)
    assert jobs["plan"].result == "success" and jobs["apply"].result == "skipped"
    assert light.host("GET", "sandbox", HOST).status_code == 404


def test_a_proposal_is_never_handed_the_credentials(light: Light, hub: Hub, actions: Actions) -> None:
    heard: list[str] = []

    class Attacker(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_error(500)

        do_PUT = do_POST = do_DELETE = do_GET

        def log_message(self, *words: object) -> None:
            """Nothing is printed."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Attacker)
    with served(server):
        own = "https://epoxy-boot-api.mlab-sandbox.measurement-lab.test/admin"
        branch(light, "evil", "config/environments/sandbox.yaml", own, f"http://127.0.0.1:{server.server_port}/admin")
        light.checkout.git("checkout", "-q", "evil")
        makefile = light.checkout.root / "Makefile"
        makefile.write_text(makefile.read_text().replace("setup: ", f"setup: ; touch {actions.base}/ran\nold: "))
        light.checkout.commit("And what a job would run")
        light.checkout.git("checkout", "-q", "main")
        number, _, run = propose(light, hub, "evil")
        succeeded(actions.run("plan.yml", "workflow_run", run))
    assert heard == [] and not (actions.base / "ran").exists()
    sandbox = next(text for text in hub.said(number) if "mlab-plan:sandbox" in text)
    assert "targets as this checkout has it: the commit's is not tried" in sandbox
    assert "sandbox/epoxy | 0 | 0 | 0" in sandbox


def test_a_fork_gets_its_diff_and_no_live_plan(light: Light, hub: Hub, actions: Actions) -> None:
    branch(light, "proposal", "config/sites/lga05.yaml", "probability: 1.0", "probability: 0.5")
    _, _, run = propose(light, hub)
    run["workflow_run"] |= {"head_repository": {"full_name": "somebody/fleet"}, "pull_requests": []}
    assert {job.result for job in actions.run("plan.yml", "workflow_run", run).values()} == {"skipped"}


def test_an_invalid_proposal_is_told_so_where_its_plan_would_stand(light: Light, hub: Hub, actions: Actions) -> None:
    branch(light, "proposal", "config/sites/lga05.yaml", "type: physical", "type: phisical")
    number, pull, run = propose(light, hub)
    own = actions.run("pull-request.yml", "pull_request", pull, ref="proposal")
    assert own["check"].result == "failure"
    assert "::error file=config/sites/lga05.yaml,line=4,col=7,title=C04" in own["check"].output
    jobs = actions.run("plan.yml", "workflow_run", run)
    assert jobs["plan (sandbox)"].result == "failure" and jobs["comment"].result == "success", jobs["comment"].output
    assert ["no report was made" in text for text in hub.said(number)] == [True] * 4
