"""Small real git repositories of a fleet, for rules that ask about the past."""

from __future__ import annotations

import os
import subprocess
from datetime import date
from pathlib import Path
from typing import NamedTuple

from reconcilers.load import fleet as loading
from tests import fleets
from tests.fleets import edit

SITE = "config/sites/lga05.yaml"
WEHE = "config/experiments/wehe.yaml"
EMBARGO = "config/embargo/replay-year.yaml"
TODAY = date(2026, 11, 25)


class Repository(NamedTuple):
    """A repository with the small fleet in it; `day` is when the next commit is made."""

    top: Path
    root: Path

    def git(self, *words: str, day: str = "2026-01-01") -> str:
        who = {"NAME": "test", "EMAIL": "test@measurement-lab.test", "DATE": f"{day}T12:00:00Z"}
        variables = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        command = ["git", "-C", str(self.top), *words]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, check=True)
        return done.stdout

    def commit(self, day: str = "2026-01-01") -> str:
        self.git("add", "-A", day=day)
        self.git("commit", "-q", "--allow-empty", "-m", "change", day=day)
        return self.git("rev-parse", "--short=7", "HEAD").strip()

    def problems(self) -> list[str]:
        loaded = loading.load(self.root, today=TODAY, use_cache=False)
        assert loaded.notes == ()
        return [problem.line() for problem in loaded.problems]

    def codes(self) -> list[str]:
        return [line.split()[1] for line in self.problems()]


def made(top: Path, inside: str = "") -> Repository:
    root = fleets.write_fleet(top / inside)
    repository = Repository(top, root)
    repository.git("init", "-q", "-b", "main")
    repository.commit()
    return repository


def state(repository: Repository, old: str, new: str) -> None:
    edit(repository.root, SITE, f"state: {old}", f"state: {new}")
    if new == "retired":
        edit(repository.root, SITE, "retired: null", "retired: 2026-05-05")


def release(repository: Repository, day: str, how: str) -> None:
    if how == "moved":
        edit(repository.root, WEHE, "index: 5", "index: 6")
    else:
        (repository.root / WEHE).unlink()
        (repository.root / EMBARGO).unlink()
        edit(repository.root, "config/alerts/workloads.yaml", 'absent(up{deployment="wehe"}) or ', "")
        (repository.root / "config/embargo").rmdir()
    repository.commit(day)


RESERVED = """\
# yaml-language-server: $schema=../../schemas/experiment.schema.json
kind: Experiment
name: flooefi
description: A guest that is about to move in.
position: 8
index: 5
cloud: false
projects: []
placements: []
anonymize: none
datatypes: {archived: [], autoloaded: []}
sidecars: {measurement: false, heartbeat: false, revtr: false, access: false}
rollout: {maxUnavailable: "2%", graceSeconds: 100}
"""


def take(repository: Repository) -> None:
    (repository.root / "config/experiments/flooefi.yaml").write_text(RESERVED)


def shallow(source: Repository, into: Path) -> Path:
    source.commit()
    command = ["git", "clone", "-q", "--depth", "1", source.top.as_uri(), str(into)]
    subprocess.run(command, check=True, capture_output=True)
    return into
