"""Jsonnet in one form, by the formatter of its Go implementation: the pinned one, so that every machine agrees."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection
from pathlib import Path

from reconcilers.cli import platform_steps
from reconcilers.core.errors import MlabError, one_line
from reconcilers.core.model import Diagnostic, Span
from reconcilers.load import codes
from services.local import programs

SUFFIXES = (".jsonnet", ".libsonnet")
_PLACE = re.compile(r"^(?P<file>.+?):(?P<line>\d+):(?P<column>\d+)(?:-[\d:]+)? (?P<said>.*)$", re.S)
_DIFFERS = 2


def find(root: Path) -> list[str]:
    """Every jsonnet file of the root, relative to it."""
    return sorted(path.relative_to(root).as_posix() for path in (root / "jsonnet").rglob("*") if is_jsonnet(path.name))


def is_jsonnet(name: str) -> bool:
    """By its ending."""
    return name.endswith(SUFFIXES)


def format_files(root: Path, files: Collection[str], *, write: bool) -> tuple[list[str], list[Diagnostic]]:
    """The files that are not in the form (with `write` they are now), and those that are no jsonnet."""
    if not files:
        return [], []
    with platform_steps.failures():
        formatter = programs.path("jsonnetfmt")
    changed, problems = [], []
    for file in files:
        done = _run(formatter, root, "--test", "--", file)
        if done.returncode == _DIFFERS:
            changed.append(file)
            if write:
                done = _run(formatter, root, "--in-place", "--", file)
        if done.returncode not in (0, _DIFFERS):
            problems.append(_problem(file, done.stderr))
    return changed, problems


def _run(formatter: Path, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run([formatter, *words], cwd=root, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MlabError(f"{formatter} cannot be run: {error}") from error


def _problem(file: str, said: str) -> Diagnostic:
    place = _PLACE.match(said.strip())
    if place is None:
        return codes.FORM.at(Span(file, 1, 1), f"cannot be formatted: {one_line(said)}")
    span = Span(file, int(place["line"]), int(place["column"]))
    return codes.FORM.at(span, f"is no jsonnet: {one_line(place['said'])}")
