"""Runs the jobs of our workflows as GitHub does, here: in order, each in a fresh clone, with what it may have.

`run` steps are run as they are written. Of the actions, checkout, artifacts and authentication do here what they do
there. Credentials (the running platform's addresses and tokens) are there only after a job with `id-token: write`
has authenticated, and only while its clone holds the default branch. A job's token may do what its permissions say.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import Done, mlab
from tests.github_api import REPOSITORY, Hub
from tests.workflows.expressions import evaluate, filled, truth

VENV = Path(sys.executable).parents[1]
MLAB = ".venv/bin/mlab "
NOT_HERE = {
    target: f"make --dry-run {target.removeprefix('make ')}" for target in ("make setup", "make lint", "make test")
}
"""What ran around these very tests: that the target is there is enough here. The clones share this environment, which a
setup out of one of them would tie to a folder that goes away."""


@dataclass
class Job:
    """How one job of one run ended: success, failure or skipped, with what its steps printed."""

    name: str
    result: str
    output: str = ""
    summary: str = ""


@dataclass
class Actions:
    """The workflows of a clone, its origin, the platform behind the credentials, and the API."""

    origin: Path
    state: Path
    hub: Hub
    base: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    runs: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        file: str,
        event: str,
        payload: Mapping[str, Any],
        *,
        ref: str = "main",
        inputs: Mapping[str, str] | None = None,
    ) -> dict[str, Job]:
        """Run a workflow of the default branch, or of a ref; its jobs by name, `NAME (VALUE)` in a matrix."""
        workflow = self.workflow(file, ref if event == "pull_request" else "main")
        assert event in workflow["on"], f"{file} does not run on {event}"
        self.runs += 1
        folder = self.base / f"run-{self.runs}"
        github = {
            "event": payload,
            "event_name": event,
            "repository": REPOSITORY,
            "server_url": "https://github.test",
            "run_id": str(self.runs),
            "ref": ref,
            "token": "",
        }
        done: dict[str, Job] = {}
        needs: dict[str, Any] = {}
        for name, job in workflow["jobs"].items():
            values = job.get("strategy", {}).get("matrix", {}).get("env", [None])
            made = [self._job(name, job, github, value, needs, inputs or {}, folder, ref) for value in values]
            done |= {one.name: one for one in made}
            results = {one.result for one in made}
            worst = next(result for result in ("failure", "success", "skipped") if result in results)
            needs[name] = {"result": worst}
        return done

    def workflow(self, file: str, ref: str = "main") -> dict[str, Any]:
        """A workflow file of a ref; every scalar as text, for `on` is no boolean here."""
        command = ["git", "-C", str(self.origin), "show", f"{ref}:.github/workflows/{file}"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)
        return found

    def _job(
        self,
        name: str,
        job: Mapping[str, Any],
        github: Mapping[str, Any],
        value: str | None,
        needs: Mapping[str, Any],
        inputs: Mapping[str, str],
        folder: Path,
        ref: str,
    ) -> Job:
        shown = name if value is None else f"{name} ({value})"
        wanted = {needed: needs[needed] for needed in job.get("needs", [])}
        context = {
            "github": github,
            "matrix": {"env": value},
            "needs": wanted,
            "inputs": inputs,
            "vars": self.variables,
            "runner": {"os": "Linux"},
            "failed": any(needed["result"] != "success" for needed in wanted.values()),
        }
        condition = job.get("if", "")
        unconditional = "cancelled()" in condition
        if context["failed"] and not unconditional:
            return Job(shown, "skipped")
        if condition and not truth(evaluate(condition, context)):
            return Job(shown, "skipped")
        writable = [key for key, right in job.get("permissions", {}).items() if right == "write" and key != "id-token"]
        token = self.hub.token(*writable)
        run = _Run(self, job, {**context, "github": {**github, "token": token}}, folder, shown, ref)
        return run.all()


class _Run:
    """One job: its clone, and what its steps see."""

    def __init__(
        self, actions: Actions, job: Mapping[str, Any], context: dict[str, Any], folder: Path, name: str, ref: str
    ) -> None:
        self.actions, self.job, self.context, self.ref = actions, job, context, ref
        self.artifacts = folder / "artifacts"
        self.work = folder / re.sub(r"\W+", "-", name) / "work"
        self.summary = self.work.with_name("summary.md")
        self.state = self.work.with_name("nothing")
        self.out = Job(name, "success")
        self.work.parent.mkdir(parents=True)

    def all(self) -> Job:
        for step in self.job["steps"]:
            condition = step.get("if", "")
            if self.out.result == "failure" and "cancelled()" not in condition:
                continue
            if condition and not truth(evaluate(condition, self.context)):
                continue
            if not (self._uses(step) if "uses" in step else self._runs(step)):
                self.out.result = "failure"
        self.out.summary = self.summary.read_text() if self.summary.exists() else ""
        return self.out

    def _uses(self, step: Mapping[str, Any]) -> bool:
        action = step["uses"].partition("@")[0]
        given = {key: filled(value, self.context) for key, value in step.get("with", {}).items()}
        if action == "actions/checkout":
            self._checkout(given)
        elif action == "google-github-actions/auth":
            assert self.job["permissions"].get("id-token") == "write", f"{self.out.name} may not have an identity"
            head, main = (self._git("rev-parse", name) for name in ("HEAD", "origin/main"))
            assert head == main, f"{self.out.name} would run what is not merged, with credentials"
            self.state = self.actions.state
        elif action == "actions/upload-artifact":
            return self._upload(given)
        elif action == "actions/download-artifact":
            return self._download(given)
        else:
            assert action in ("actions/setup-go", "actions/cache"), f"unknown action {action}"
        return True

    def _checkout(self, given: Mapping[str, str]) -> None:
        assert given["persist-credentials"] == "false"
        depth = [] if given.get("fetch-depth") == "0" else ["--depth=1", "--no-single-branch"]
        subprocess.run(["git", "clone", "-q", *depth, f"file://{self.actions.origin}", str(self.work)], check=True)
        if self.ref != "main":
            self._git("fetch", "-q", "origin", self.ref)
            self._git("checkout", "-q", "FETCH_HEAD")
        (self.work / ".venv").symlink_to(VENV)

    def _git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.work, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def _upload(self, given: Mapping[str, str]) -> bool:
        found = sorted(path for path in self.work.glob(given["path"]) if path.is_file())
        if not found:
            return given.get("if-no-files-found", "warn") != "error"
        target = self.artifacts / given["name"]
        target.mkdir(parents=True)
        for path in found:
            shutil.copy(path, target / path.name)
        return True

    def _download(self, given: Mapping[str, str]) -> bool:
        into = self.work / given.get("path", ".")
        if "name" in given:
            if not (self.artifacts / given["name"]).is_dir():
                return False
            shutil.copytree(self.artifacts / given["name"], into, dirs_exist_ok=True)
        elif self.artifacts.is_dir():
            shutil.copytree(self.artifacts, into, dirs_exist_ok=True)
        return True

    def _runs(self, step: Mapping[str, Any]) -> bool:
        command = filled(step["run"], self.context)
        assert command == step["run"], f"an expression inside a command: {step['run']}"
        variables = {
            key: filled(value, self.context)
            for key, value in {**self.job.get("env", {}), **step.get("env", {})}.items()
        }
        known = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "NO_GCE_CHECK": "true",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": "a-person",
            "GITHUB_API_URL": self.actions.hub.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_RUN_ID": self.context["github"]["run_id"],
            "GITHUB_SERVER_URL": "https://github.test",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "MLAB_STATE": str(self.state),
            **self.actions.environment,
            **variables,
        }
        done = self._verb(command, known) if command.startswith(MLAB) else self._shell(command, known)
        self.out.output += f"$ {command}\n{done.out}{done.err}(exit {done.status})\n"
        return done.status == 0

    def _shell(self, command: str, known: Mapping[str, str]) -> Done:
        words = ["bash", "-eo", "pipefail", "-c", NOT_HERE.get(command, command)]
        done = subprocess.run(words, cwd=self.work, capture_output=True, text=True, check=False, env=known)
        return Done(done.returncode, done.stdout, done.stderr)

    def _verb(self, command: str, known: Mapping[str, str]) -> Done:
        """The shell makes the words, with the job's variables; the verb runs in this process, which starts faster."""
        words = self._shell(f"printf '%s\\0' {command.removeprefix(MLAB)}", known).out.split("\0")[:-1]
        with pytest.MonkeyPatch.context() as patched:
            patched.chdir(self.work)
            for name in os.environ.keys() - known.keys():
                patched.delenv(name)
            for name, value in known.items():
                patched.setenv(name, value)
            return mlab(*words)
