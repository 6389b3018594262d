"""What differs in a checkout: staged for the next commit, not committed at all, or between two commits.

Asks the `git` program itself: a hook runs at every commit, and importing gitpython costs more than all of its answers.
Paths are relative to the root, which may be a folder inside its repository.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from reconcilers.core.errors import MlabError, UsageError, one_line

_NONE: Mapping[str, str] = MappingProxyType({})
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)")
_PLACES = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")


@dataclass(frozen=True, slots=True)
class Changes:
    """Changed files, and those among them that are gone."""

    files: tuple[str, ...]
    removed: frozenset[str] = frozenset()

    @property
    def present(self) -> tuple[str, ...]:
        """Those that can be read."""
        return tuple(file for file in self.files if file not in self.removed)


def git(root: Path, *words: str, given: bytes | None = None, variables: Mapping[str, str] = _NONE) -> bytes:
    """Run git in the root and return what it prints. Raises `MlabError` with its first words.

    Git calls hooks with paths relative to its own working folder; they are made absolute before the root is entered.
    """
    places = {name: os.path.abspath(os.environ[name]) for name in _PLACES if name in os.environ}  # noqa: PTH100
    command = ["git", "-c", "core.quotePath=off", *words]
    try:
        done = subprocess.run(
            command, cwd=root, input=given, capture_output=True, env={**os.environ, **places, **variables}, check=False
        )
    except OSError as error:
        raise MlabError(f"git cannot be run in {root}: {error}; install it") from error
    if done.returncode:
        said = one_line(done.stderr.decode(errors="replace")) or f"status {done.returncode}"
        raise MlabError(f"git {words[0]} failed in {root}: {said}")
    return done.stdout


def is_repository(root: Path) -> bool:
    """True if the root lies in a working tree of git."""
    try:
        return git(root, "rev-parse", "--is-inside-work-tree").strip() == b"true"
    except MlabError:
        return False


def require(root: Path) -> None:
    """Raises `UsageError` outside a working tree."""
    if not is_repository(root):
        raise UsageError(f"{root} is no git checkout; give --root a folder of one")


def staged(root: Path) -> Changes:
    """What the next commit changes. Before the first commit everything staged is new."""
    against = _last_commit(root)
    return _changes(git(root, "diff", "--cached", "--no-renames", "--name-status", "-z", "--relative", against))


def uncommitted(root: Path) -> Changes:
    """What differs from the last commit: staged, unstaged and untracked files."""
    against = _last_commit(root)
    tracked = _changes(git(root, "diff", "--no-renames", "--name-status", "-z", "--relative", against))
    new = _names(git(root, "ls-files", "--others", "--exclude-standard", "-z"))
    return Changes(tuple(sorted({*tracked.files, *new})), tracked.removed)


def tracked(root: Path) -> Changes:
    """Every file of the checkout that git knows."""
    return Changes(tuple(_names(git(root, "ls-files", "-z"))))


@contextmanager
def as_committed(root: Path, folders: Sequence[str]) -> Iterator[Path]:
    """A root that holds these folders as the next commit will: the checkout itself where nothing else lies in them."""
    kept = [folder for folder in folders if (root / folder).exists()]
    unstaged = git(root, "diff", "--name-only", "-z", "--relative", "--", *kept)
    unknown = git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *kept)
    if not unstaged and not unknown:
        yield root
        return
    with TemporaryDirectory(prefix="mlab-staged-") as folder:
        files = git(root, "ls-files", "-z", "--", *kept)
        git(root, "checkout-index", "--force", "-z", "--stdin", f"--prefix={folder}/", given=files)
        inside = git(root, "rev-parse", "--show-prefix").decode().strip()
        yield Path(folder) / inside


def _last_commit(root: Path) -> str:
    """The commit to compare with; before the first one, the empty tree."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
    except MlabError:
        return git(root, "hash-object", "-t", "tree", "--stdin", given=b"").decode().strip()


def _names(answer: bytes) -> list[str]:
    return [os.fsdecode(name) for name in answer.split(b"\0") if name]


def _changes(answer: bytes) -> Changes:
    words = _names(answer)
    pairs = list(zip(words[::2], words[1::2], strict=True))
    return Changes(tuple(sorted(name for _, name in pairs)), frozenset(name for kind, name in pairs if kind == "D"))


@dataclass(frozen=True, slots=True)
class Range:
    """Two states of the configuration: full commit names; an empty `head` is the working tree as it lies there."""

    base: str
    head: str


def parse_range(root: Path, text: str) -> Range:
    """`BASE..HEAD`, `BASE...HEAD` (since they parted) or `BASE`, which is compared with the working tree."""
    if "..." in text:
        base, _, head = text.partition("...")
        head = commit(root, head or "HEAD")
        return Range(git(root, "merge-base", commit(root, base or "HEAD"), head).decode().strip(), head)
    base, dots, head = text.partition("..")
    return Range(commit(root, base or "HEAD"), commit(root, head or "HEAD") if dots else "")


def commit(root: Path, name: str) -> str:
    """The full name of a commit. Raises `UsageError` for what names none."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    except MlabError as error:
        shallow = git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"
        step = "this clone is shallow: fetch the whole history" if shallow else "see `git log`"
        raise UsageError(f"{name}: no such commit in {root}; {step}") from error


def trees(root: Path, sha: str, folders: Sequence[str]) -> list[str]:
    """The names of what a commit holds below folders; equal names are equal contents."""
    found = git(root, "ls-tree", sha, "--", *folders).decode().splitlines()
    return sorted(line.split(maxsplit=2)[2] for line in found)


def export(root: Path, sha: str, into: Path, folders: Sequence[str]) -> Path:
    """Write folders of a commit below `into`, and return the root in it. Nothing of the checkout is touched."""
    index = {"GIT_INDEX_FILE": str(into / ".index")}
    git(root, "read-tree", sha, variables=index)
    files = git(root, "ls-files", "-z", "--", *folders, variables=index)
    git(root, "checkout-index", "--force", "-z", "--stdin", f"--prefix={into}/", given=files, variables=index)
    return into / git(root, "rev-parse", "--show-prefix").decode().strip()


def changed_lines(root: Path, base: str, head: str, folders: Sequence[str]) -> dict[str, int]:
    """Changed files below folders, each with its first changed line in `head` (0: the file is gone there)."""
    ends = (base, head) if head else (base,)
    words = ("--unified=0", "--no-renames", "--no-color", "--no-ext-diff", "--relative", *ends, "--", *folders)
    found = first_lines(git(root, "diff", *words).decode(errors="replace"))
    if not head:
        for file in _names(git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *folders)):
            found.setdefault(file, 1)
    return found


def first_lines(diff: str) -> dict[str, int]:
    """The files of a diff without context, each with the first line that changed in its new form."""
    found: dict[str, int] = {}
    file = ""
    for line in diff.splitlines():
        if line.startswith(("--- a/", "+++ b/")):
            file = line[6:]
        elif (hunk := _HUNK.match(line)) is not None:
            found.setdefault(file, int(hunk[1]))
    return found


def removed_in(root: Path, file: str, until: str) -> str:
    """The short name of the commit that removed a file, looking back from `until`; empty where none did."""
    words = ("log", "-1", "--diff-filter=D", "--format=%h", until or "HEAD", "--", file)
    return git(root, *words).decode().strip()
