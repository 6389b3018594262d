"""The workflows, read by two programs: actionlint as GitHub reads them, zizmor as an attacker does. Both offline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconcilers.cli import platform_steps
from reconcilers.core.errors import MlabError, one_line
from reconcilers.core.model import Diagnostic, Span
from reconcilers.load import codes
from services.local import programs

FOLDER = ".github/workflows"


def check(root: Path) -> list[Diagnostic]:
    """All findings of both, in file order."""
    files = sorted(path.relative_to(root).as_posix() for path in (root / FOLDER).glob("*.y*ml"))
    if not files:
        return []
    return sorted([*_actionlint(root, files), *_zizmor(root)], key=lambda problem: problem.span)


def _actionlint(root: Path, files: list[str]) -> Iterator[Diagnostic]:
    # Its findings in shell scripts would depend on what else is installed; our steps are one command each.
    with platform_steps.failures():
        program = str(programs.path("actionlint"))
    command = [program, "-shellcheck=", "-pyflakes=", "-format", "{{json .}}", *files]
    for finding in _answer(command, root, usual=(0, 1)):
        span = Span(finding["filepath"], finding["line"], finding["column"])
        yield codes.WORKFLOW.at(span, f"{one_line(finding['message'])} (actionlint {finding['kind']})")


def _zizmor(root: Path) -> Iterator[Diagnostic]:
    program = Path(sys.executable).with_name("zizmor")
    found = str(program) if program.is_file() else shutil.which("zizmor")
    if found is None:
        raise MlabError("zizmor is not installed; run `make setup`")
    command = [found, "--offline", "--no-progress", "--no-exit-codes", "--quiet", "--format", "json", FOLDER]
    for finding in _answer(command, root, usual=(0,)):
        if finding["ignored"]:
            continue
        place = next((p for p in finding["locations"] if p["symbolic"]["kind"] == "Primary"), finding["locations"][0])
        start = place["concrete"]["location"]["start_point"]
        file = place["symbolic"]["key"]["Local"]["verbatim_path"].removeprefix("./")
        message = f"{finding['desc']}: {place['symbolic']['annotation']} (zizmor {finding['ident']})"
        yield codes.WORKFLOW.at(Span(file, start["row"] + 1, start["column"] + 1), one_line(message))


def _answer(command: list[str], root: Path, *, usual: tuple[int, ...]) -> list[dict[str, Any]]:
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode not in usual:
            raise MlabError(f"{name} ended with status {done.returncode}: {one_line(done.stderr)}")
        findings: list[dict[str, Any]] = json.loads(done.stdout or "[]") or []
    except (OSError, ValueError) as error:
        raise MlabError(f"{name} cannot be run: {error}") from error
    return findings
