"""The branch that a loop follows: a clone of its own that is fetched, and the one commit of it that is served.

A commit is served once it was fetched whole, its signature verified if that is asked for, and it rendered. A branch
that was rewritten (its new head does not contain the served commit) is not followed unless the loop was told so:
a force push must not be able to take a reviewed change back unseen. Credentials are git's own affair (a credential
helper, an SSH agent): an address with a password in it is refused.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import git

from reconcilers.core.errors import MlabError, Refused, Temporary, UsageError, one_line
from reconcilers.load.history import Repository

_ABSENT = (ValueError, git.BadName, git.BadObject, git.GitError)
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the branch is. `signers`: an allowed-signers file of ssh (see ssh-keygen(1)); None: any commit will do."""

    url: str
    branch: str
    signers: Path | None = None
    follow_rewrites: bool = False
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Head:
    """A commit of the branch: full name, and its time in seconds since the epoch."""

    sha: str
    time_s: int


class Source:
    """The clone below `folder`. Safe for threads: gitpython reads objects through one pipe, so one at a time may ask.

    A fetch, which may take as long as the origin likes, is a process of its own and holds nobody up.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        if urlsplit(settings.url).password:
            raise UsageError("the repository's address holds a password; give it to git's credential helper instead")
        self.settings = settings
        self.folder = folder
        self._lock = threading.RLock()
        self._repository: git.Repo | None = None

    def fetch(self) -> Head:
        """The branch's head at its origin. Raises `Temporary` if the origin is out of reach or has no such branch."""
        self._git("fetch", "--quiet", "--no-tags", "origin", f"+{self.settings.branch}:refs/mlab/fetched")
        with self._lock:
            commit = self._repo().commit("refs/mlab/fetched")
            return Head(commit.hexsha, int(commit.committed_date))

    def check(self, head: Head, served: str) -> None:
        """Raises `Refused` for a commit that may not be served after the one that is."""
        with self._lock:
            if served and not self.settings.follow_rewrites and not self._is_ancestor(served, head.sha):
                raise Refused(
                    f"{self.settings.branch} was rewritten: {head.sha[:7]} does not contain {served[:7]}, which is "
                    "still served; restore the branch, or run the loop with --follow-rewrites"
                )
            if self.settings.signers is not None:
                self._verify(head.sha, self.settings.signers)

    def check_out(self, sha: str) -> None:
        """Make a fetched commit the one that is served, over restarts too, and that the files below `folder` show."""
        with self._lock:
            self._git("checkout", "--quiet", "--force", "--detach", sha)
            self._git("update-ref", "refs/mlab/served", sha)

    def tree(self) -> str:
        """The name of the served tree."""
        with self._lock:
            return self._history().tree()

    def short(self, sha: str) -> str:
        """A commit's short name."""
        with self._lock:
            return self._history().short(sha)

    def changed(self, base: str, head: str) -> Mapping[str, int]:
        """Files that changed between two commits, each with its first changed line (0: removed)."""
        with self._lock:
            return self._history().changed(base, head)

    def removed_in(self, file: str) -> str:
        """The commit that removed a file, or empty."""
        with self._lock:
            return self._history().removed_in(file)

    def unknown_to(self, sha: str, written: Iterable[str]) -> str:
        """The first of these commits that a served one does not contain, or empty.

        A target that bears such a commit was written by somebody who is ahead of this clone. Where rewrites are
        followed, a commit of a former branch that this clone once had is not ahead.
        """
        with self._lock:
            for other in sorted(set(written)):
                known = other == sha or self._is_ancestor(other, sha)
                if not known and not (self.settings.follow_rewrites and self._history().has(other)):
                    return other
        return ""

    def served(self) -> str:
        """The commit that was served last, over restarts; empty if none was."""
        with self._lock:
            try:
                return str(self._repo().commit("refs/mlab/served").hexsha)
            except _ABSENT:
                return ""

    def export(self, sha: str, into: Path) -> Path:
        """The configuration of a commit, written below a folder; its root."""
        with self._lock:
            return self._history().export(sha, into)

    def oldest_after(self, applied: str, head: str) -> int | None:
        """The time of the first commit after `applied` on the way to `head`; None if there is none, or no such way."""
        with self._lock:
            if not applied or applied == head:
                return None
            try:
                times = str(self._repo().git.log("--format=%ct", f"{applied}..{head}")).split()
            except git.GitError:
                return None
            return min((int(time) for time in times), default=None)

    def close(self) -> None:
        """End git's own helper processes."""
        if self._repository is not None:
            self._repository.close()

    def _history(self) -> Repository:
        return Repository(self._repo(), self.folder)

    def _repo(self) -> git.Repo:
        if self._repository is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = git.Repo.init(self.folder)
            if "origin" in [remote.name for remote in found.remotes]:
                found.remote("origin").set_url(self.settings.url)
            else:
                found.create_remote("origin", self.settings.url)
            self._repository = found
        return self._repository

    def _git(self, verb: str, *words: str, environment: Mapping[str, str] | None = None) -> str:
        # A lock file that a killed run left would stop every later one; nobody else writes in this clone.
        for lock in (self.folder / ".git").glob("**/*.lock"):
            lock.unlink(missing_ok=True)
        command = ["git", verb, *words]
        try:
            done = self._repo().git.execute(
                command,
                kill_after_timeout=self.settings.timeout_s,
                env={**os.environ, **_QUIET, **(environment or {})},
            )
        except git.GitCommandError as error:
            words_of_git = one_line(str(error.stderr).strip().removeprefix("stderr: ").strip("'\n "), 160)
            raise Temporary(f"git {verb} of {self.settings.branch}: {words_of_git or error.status}") from None
        except (git.GitError, OSError) as error:
            raise MlabError(f"git {verb}: {one_line(str(error), 160)}") from None
        return str(done)

    def _is_ancestor(self, older: str, newer: str) -> bool:
        try:
            return bool(self._repo().is_ancestor(self._repo().commit(older), self._repo().commit(newer)))
        except _ABSENT:
            return False

    def _verify(self, sha: str, signers: Path) -> None:
        settings = ("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={signers}")
        try:
            self._repo().git.execute(["git", *settings, "verify-commit", sha])
        except git.GitCommandError:
            raise Refused(f"{sha[:7]} carries no signature of anyone in {signers}; it is not served") from None
