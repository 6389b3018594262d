"""A configuration in a git clone of its own, a platform beside it, and the `mlab` command as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import command, waiting
from tests.command import Done

MLAB = Path(sys.executable).with_name("mlab")


@dataclass(frozen=True, slots=True)
class Checkout:
    """The root of a configuration and the state folder of its runs."""

    root: Path
    state: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    inside: bool = False
    """Verbs run in this process: without the start of the program, a test of twenty of them takes a fifth."""

    def command(self, *words: str) -> list[str]:
        """The command line of one verb."""
        return [str(MLAB), *words, "--root", str(self.root), "--state", str(self.state)]

    def mlab(self, *words: str, **variables: str) -> Done:
        """Run one verb to its end."""
        if self.inside and not {**self.environment, **variables}:
            return command.mlab(*self.command(*words)[1:])
        done = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=280,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.environment, **variables},
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def git(self, *words: str) -> str:
        """Run git as a committer of the test."""
        names = ("-c", "user.name=test", "-c", "user.email=test@measurement-lab.test")
        command = ["git", "-C", str(self.root), *names, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def commit(self, message: str) -> str:
        """Commit everything; the short name."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "--short=7", "HEAD").strip()

    def permit(self, match: str, *, deletions: int) -> str:
        """Commit an acknowledgement of deletions; its path."""
        path = "config/acks/gone.yaml"
        # git removes a folder with its last file: a test before this one may have taken it along.
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(
            "# yaml-language-server: $schema=../../schemas/ack.schema.json\nkind: Ack\nname: gone\n"
            'reason: they were decommissioned together\nexpires: "2099-01-01"\nallow:\n'
            f'  - {{action: delete, match: "{match}", max: {deletions}}}\n'
        )
        self.commit("Permit it")
        return path

    @contextmanager
    def taken_back(self) -> Iterator[Checkout]:
        """Whatever is committed or written inside is taken back at the end."""
        head = self.git("rev-parse", "HEAD").strip()
        try:
            yield self
        finally:
            self.git("reset", "-q", "--hard", head)
            self.git("clean", "-qfd")

    def plan(self, env: str, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit status and document of a plan."""
        done = self.mlab("plan", "--env", env, "--json", "-q", *words)
        assert done.out, done.err
        return done.status, json.loads(done.out)

    def contents(self) -> Iterator[tuple[Path, bytes]]:
        """Every file of the state and what is in it; one that goes meanwhile was a server's temporary file."""
        for path in self.state.rglob("*"):
            if path.is_file():
                with suppress(FileNotFoundError):
                    yield path, path.read_bytes()

    def apply(self, env: str, *words: str, **variables: str) -> Done:
        """Apply what is planned now, approved by its digest."""
        _, planned = self.plan(env, *[word for word in words if not word.startswith("--jobs")])
        return self.mlab("apply", "--env", env, "--yes", "--digest", planned["digest"], *words, **variables)

    def apply_when_unlocked(self, env: str, *words: str, **variables: str) -> Done:
        """Apply again until no lock of a dead run stands in the way, and the run keeps its own."""

        def undisturbed() -> Done | None:
            done = self.apply(env, *words, **variables)
            locked = done.status == 3 and "locked by" in done.out
            return None if locked or stood_still(done) else done

        found = waiting.until(undisturbed, "an apply is not stopped by a lock")
        assert found is not None
        return found


def stood_still(done: Done) -> bool:
    """Whether a run stopped writing because the machine stood still for longer than its lock lives."""
    return "the lock expired before it could be renewed" in done.out


@contextmanager
def served(root: Path, state: Path, env: str, *words: str) -> Iterator[Checkout]:
    """A configuration in a repository, the light servers of one environment, and what the words name applied."""
    repository(root)
    checkout = Checkout(root, state)
    up = checkout.mlab("up", "--light", "--env", env)
    assert up.status == 0, up.err
    try:
        done = checkout.apply(env, *words)
        assert done.status == 0, done.out + done.err
        yield checkout
    finally:
        assert checkout.mlab("down").status == 0


def repository(root: Path) -> None:
    """Make a folder a git repository with everything in it committed."""
    subprocess.run(["git", "-C", str(root), "init", "-q", "-b", "main"], check=True)
    Checkout(root, root / ".mlab").commit("The fleet as it stands")
