"""`mlab hooks`: the checks before a commit, and the git hook that runs them without any other program.

The hook judges what would be committed, not what lies in the folder: where the two differ, the staged files are
written to a temporary folder and checked there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from reconcilers.cli import checks
from reconcilers.cli.exits import Exit, worst
from reconcilers.cli.session import count, root_of
from reconcilers.core.errors import MlabError, Refused, UsageError
from reconcilers.core.model import Diagnostic
from reconcilers.load import worktree

_OURS = "# Installed by `mlab hooks install`"
_HOOK = """\
#!/bin/sh
{ours}; `mlab hooks uninstall` removes it.
# It checks what is staged, needs no network, and runs what `make lint` and CI run.
mlab={program}
[ -x "$mlab" ] || mlab=$(command -v mlab) || {{
  echo "pre-commit: mlab is not where it was; run \\`make setup\\`, then \\`mlab hooks install\\`" >&2
  exit 1
}}
exec "$mlab" hooks run --root {root}
"""


def run(given: argparse.Namespace) -> int:
    """Check, or install or remove the hook."""
    root = root_of(given)
    worktree.require(root)
    if given.action == "install":
        return _install(root)
    if given.action == "uninstall":
        return _uninstall(root)
    chosen = [check for check in checks.ALL if not given.checks or check.name in given.checks]
    unknown = [name for name in given.checks if name not in checks.NAMES]
    if unknown:
        raise UsageError(f"{', '.join(unknown)}: no such check; known: {', '.join(checks.NAMES)}")
    if given.files is not None:
        status, found = _check(root, chosen, worktree.Changes(tuple(given.files)), whole=False)
    elif given.all:
        status, found = _check(root, chosen, worktree.tracked(root), whole=True)
    else:
        changes = worktree.staged(root)
        with worktree.as_committed(root, checks.FOLDERS) as committed:
            status, found = _check(committed, chosen, changes, whole=False)
    _show(found, given)
    return status


def _check(
    root: Path, chosen: Sequence[checks.Check], changes: worktree.Changes, *, whole: bool
) -> tuple[Exit, list[tuple[str, Diagnostic]]]:
    statuses, found = [Exit.OK], []
    for check in chosen:
        files = check.chosen(changes)
        if not files:
            continue
        try:
            problems = check.run(root, files)
        except MlabError as error:
            # A program that a person who edits sites does not have must not stand in the way of a commit: CI has it.
            after = "" if whole else "; CI checks it"
            print(f"{check.name}: not checked: {error}{after}", file=sys.stderr)
            statuses += [Exit.INCOMPLETE] if whole else []
            continue
        found += [(check.name, problem) for problem in problems]
        statuses += [Exit.INVALID] if problems else []
    return worst(statuses), found


def _show(found: Sequence[tuple[str, Diagnostic]], given: argparse.Namespace) -> None:
    if given.json:
        from reconcilers.load import present

        entries = [{"check": name, **present.as_json(problem)} for name, problem in found]
        print(json.dumps(entries, indent=1, ensure_ascii=False))
        return
    for _, problem in found:
        print(problem.line())
    if found:
        names = ", ".join(dict.fromkeys(name for name, _ in found))
        print(f"{names}: {count(len(found))}", file=sys.stderr)


def _place(root: Path) -> Path:
    """Where git looks for the hook: `core.hooksPath` and linked working trees are its business."""
    answer = worktree.git(root, "rev-parse", "--git-path", "hooks/pre-commit").decode().strip()
    return Path(os.path.abspath(root / answer))  # noqa: PTH100


def _install(root: Path) -> int:
    place = _place(root)
    top = Path(worktree.git(root, "rev-parse", "--show-toplevel").decode().strip())
    if place.exists() and not _is_ours(place):
        raise Refused(
            f"{place} is there and not ours; move it away, or let it run `mlab hooks run` (pre-commit does, by "
            ".pre-commit-config.yaml)"
        )
    inside = os.path.relpath(root.resolve(), top.resolve())
    program = shlex.quote(os.path.abspath(sys.argv[0]))  # noqa: PTH100
    content = _HOOK.format(ours=_OURS, program=program, root=shlex.quote(inside))
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".pre-commit.{os.getpid()}")
    beside.write_text(content)
    beside.chmod(0o755)
    beside.replace(place)
    print(f"installed: {place}; each commit is checked now ({', '.join(checks.NAMES)})")
    return Exit.OK


def _uninstall(root: Path) -> int:
    place = _place(root)
    if place.exists() and not _is_ours(place):
        raise Refused(f"{place} is not ours; remove it by hand")
    place.unlink(missing_ok=True)
    print(f"removed: {place}")
    return Exit.OK


def _is_ours(place: Path) -> bool:
    try:
        return _OURS in place.read_text(errors="replace")
    except OSError as error:
        raise MlabError(f"{place} cannot be read: {error}") from error
