"""What git knows: the commit being planned, what changed since another one, and when a file went away.

Read through gitpython. A root without history (a tarball) is an ordinary case: `open_history` returns None and causes
read `unknown`. Importing git costs more than validating the fleet does, so only verbs that plan import this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import git

from reconcilers.core.errors import MlabError
from reconcilers.load import worktree

_TREES = ("config", "jsonnet")


LOG_SETTINGS = ("core.quotePath=false", "log.showRoot=true")
LOG_OPTIONS = (
    "--first-parent",
    "--diff-merges=first-parent",
    "--raw",
    "--no-renames",
    "--no-abbrev",
    "--no-color",
    "--no-relative",
    "--no-show-signature",
    "--format=%x01%H %ct",
)
"""How git is asked for its log, whatever a user's own settings are."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its full and short names, author, and time in seconds since the epoch."""

    sha: str
    short: str
    author: str
    time_s: int
    subject: str


class Repository:
    """The git repository around a root; `prefix` is the root's path inside it, empty or ending in a slash."""

    def __init__(self, repository: git.Repo, root: Path) -> None:
        self._git = repository
        self._root = root
        top = Path(str(repository.working_tree_dir)).resolve()
        inside = root.resolve().relative_to(top).as_posix()
        self.prefix = "" if inside == "." else f"{inside}/"

    def head(self) -> Commit:
        """The commit that is checked out."""
        return _commit(self._git.head.commit)

    def tree(self) -> str:
        """The name of the checked-out tree."""
        return str(self._git.head.commit.tree.hexsha)

    def tags(self) -> list[str]:
        """The tags of the checked-out commit."""
        return str(self._git.git.tag("--points-at", "HEAD")).split()

    def dirty(self) -> list[str]:
        """Files of the configuration that differ from the checked-out commit, untracked ones too."""
        paths = [f"{self.prefix}{tree}" for tree in _TREES]
        text = self._git.git.status("--porcelain", "--untracked-files=all", "--", *paths)
        return [line[3:] for line in text.splitlines()]

    def has(self, sha: str) -> bool:
        """True if that commit is in this clone (a shallow one has few)."""
        try:
            self._git.commit(sha)
        except (ValueError, git.BadName, git.BadObject, git.GitCommandError):
            return False
        return True

    def short(self, sha: str) -> str:
        """The commit's short name."""
        return _commit(self._git.commit(sha)).short

    def incomplete(self) -> str:
        """Why this clone does not hold all history of the configuration, or `""`."""
        common = Path(self._git.common_dir)
        if (common / "shallow").exists():
            return "this is a shallow clone"
        with self._git.config_reader("repository") as settings:
            if any(settings.has_option(section, "promisor") for section in settings.sections()):
                return "this is a partial clone"
        if not _holds(self._git.head.commit.tree, f"{self.prefix}config"):
            return "config/ is not committed"
        return ""

    def log(self, folders: Iterable[str]) -> str:
        """Every change of files below folders of the root, the newest first, each merge as one step.

        A line `\\1COMMIT TIME` for each commit, then git's raw lines.
        """
        paths = [f"{self.prefix}{folder}" for folder in folders]
        return str(self._git.git(c=list(LOG_SETTINGS)).log(*LOG_OPTIONS, "--", *paths))

    def blob(self, sha: str) -> bytes:
        """The content of a file as it was committed once."""
        return bytes(self._git.git.get_object_data(sha)[3])

    def close(self) -> None:
        """End git's helper processes."""
        self._git.close()

    def export(self, sha: str, into: Path) -> Path:
        """Write the configuration of a commit into a folder and return the root in it."""
        return worktree.export(self._root, sha, into, _TREES)

    def changed(self, base: str, head: str | None = None) -> Mapping[str, int]:
        """Changed files of the configuration, relative to the root, each with its first changed line (0: removed)."""
        paths = [f"{self.prefix}{tree}" for tree in _TREES]
        text = self._git.git.diff(
            "--unified=0", "--no-renames", "--no-color", base, *([head] if head else []), "--", *paths
        )
        return {file.removeprefix(self.prefix): line for file, line in worktree.first_lines(text).items()}

    def removed_in(self, file: str) -> str:
        """The short name of the commit that removed the file, or empty if it is there or was never."""
        if not file or file.endswith("/") or (self._root / file).exists():
            return ""
        text = self._git.git.log("-1", "--diff-filter=D", "--format=%h", "--", f"{self.prefix}{file}")
        return str(text).strip()


def open_history(root: Path) -> Repository | None:
    """The repository around `root`, or None where there is none, or no commit yet."""
    try:
        found = git.Repo(root, search_parent_directories=True)
        if found.bare or not found.head.is_valid():
            return None
        return Repository(found, root)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, ValueError):
        return None
    except git.GitError as error:
        raise MlabError(f"{root}: git cannot read this repository: {error}") from error


def _commit(commit: git.Commit) -> Commit:
    return Commit(commit.hexsha, commit.hexsha[:7], str(commit.author), int(commit.committed_date), str(commit.summary))


def _holds(tree: git.Tree, path: str) -> bool:
    try:
        tree.join(path.rstrip("/"))
    except KeyError:
        return False
    return True
