"""What is checked before a commit, by `make lint` and in CI: the same functions, on the same files, with one result.

A check looks only at the files that concern it. What it needs is imported when it runs, so that a commit of one site
does not pay for workflows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconcilers.core.model import Diagnostic
from reconcilers.load import codes
from reconcilers.load.worktree import Changes


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `concerns` picks its files; `run` gets the root and those of them that are there."""

    name: str
    text: str
    concerns: Callable[[str], bool]
    run: Callable[[Path, Sequence[str]], Collection[Diagnostic]]
    gone_too: bool = False
    """Whether the removal of a file is its business."""

    def chosen(self, changes: Changes) -> list[str]:
        """The files that it looks at."""
        files = changes.files if self.gone_too else changes.present
        return [file for file in files if self.concerns(file)]


FOLDERS = ("config", "jsonnet", "schemas", ".github", ".vscode", ".secrets.baseline")
"""What the checks read besides the changed files themselves."""


def _config(file: str) -> bool:
    return file.startswith("config/") and file.endswith(".yaml")


def _schema_file(file: str) -> bool:
    return file.startswith(("schemas/", ".vscode/"))


def _format(root: Path, files: Sequence[str]) -> Collection[Diagnostic]:
    from reconcilers.core.model import Span
    from reconcilers.load import format as formatting

    formatted = formatting.format_tree(root, only=[Path(file) for file in files])
    message = "is not in the form; run `mlab fmt`"
    return [codes.FORM.at(Span(file, 1, 1), message) for file in formatted.changed]


def _validate(root: Path, files: Sequence[str]) -> Collection[Diagnostic]:
    from reconcilers.load import fleet as loading

    return loading.load(root).problems


def _jsonnet(root: Path, files: Sequence[str]) -> Collection[Diagnostic]:
    from reconcilers.cli import jsonnet_files
    from reconcilers.core.model import Span

    changed, problems = jsonnet_files.format_files(root, files, write=False)
    message = "is not in the form; run `mlab fmt`"
    return [*problems, *(codes.FORM.at(Span(file, 1, 1), message) for file in changed)]


def _secrets(root: Path, files: Sequence[str]) -> Collection[Diagnostic]:
    from reconcilers.load import secret_scan

    return secret_scan.scan(root, files)


def _schema(root: Path, files: Sequence[str]) -> Collection[Diagnostic]:
    from reconcilers.load import schema_files

    own = root / schema_files.FOLDER
    return schema_files.check(root, own) if own.is_dir() else []


def _workflows(root: Path, files: Sequence[str]) -> Collection[Diagnostic]:
    from reconcilers.cli import workflow_files

    return workflow_files.check(root)


ALL = (
    Check("format", "YAML of config/ in the form of `mlab fmt`", _config, _format),
    Check("validate", "every rule of the fleet", lambda file: file.startswith("config/"), _validate, gone_too=True),
    Check("jsonnet", "jsonnet in the form of `mlab fmt`", lambda f: f.endswith((".jsonnet", ".libsonnet")), _jsonnet),
    Check("schema", "schemas/ and the editor's settings", _schema_file, _schema, gone_too=True),
    Check("workflows", "workflows, by actionlint and zizmor", lambda f: f.startswith(".github/workflows/"), _workflows),
    Check("secrets", "values that look like secrets", lambda file: file != ".secrets.baseline", _secrets),
)
NAMES = tuple(check.name for check in ALL)
