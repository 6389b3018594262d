"""Looks for secrets in files before they are committed, with detect-secrets and without asking anybody.

Settings and known harmless values are in `.secrets.baseline` at the root, in that program's own form; a root without
one is scanned with its defaults. Its verification of findings over the network is never turned on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.scan import _process_line_based_plugins
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import get_settings, transient_settings

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Diagnostic, Span
from reconcilers.load import codes

BASELINE = ".secrets.baseline"
_VERIFIES = "detect_secrets.filters.common.is_ignored_due_to_verification_policies"
_LINES = "detect_secrets.filters.regex.should_exclude_line"
_REFERENCES = (
    r"secret_?(ref|name)\b",
    r"\bsecret: ?['\"]?[a-z0-9.-]+['\"]?[,}\s]*(key: |$)",
    r"^\s*-? ?alert: ",
)
"""Lines that only name a secret, in the ways of our configuration, and names of alerts, which are long and mixed."""
_MANY = 40
"""From so many files on, starting processes for them pays."""


def scan(root: Path, files: Collection[str]) -> list[Diagnostic]:
    """One problem for each value that looks like a secret and is not known to be harmless."""
    baseline = _baseline(root)
    known = {
        (file, entry["hashed_secret"]) for file, entries in baseline.get("results", {}).items() for entry in entries
    }
    # The patterns of the settings are meant for paths as git has them, and the scanner hands them what it was given.
    with transient_settings(_settings(baseline)), contextlib.chdir(root):
        found = SecretsCollection()
        paths = [file for file in sorted(files) if Path(file).is_file() and not Path(file).is_symlink()]
        found.scan_files(*paths, num_processors=(os.cpu_count() or 1) if len(paths) >= _MANY else 1)
        comments = (pair for path in paths if path.endswith((".yaml", ".yml")) for pair in _as_text(path))
        once = {problem.span: problem for problem in _problems(itertools.chain(found, comments), known)}
        return [once[span] for span in sorted(once)]


def _as_text(path: str) -> Iterator[tuple[str, Any]]:
    """YAML line by line: the scanner looks at its values only, and a secret in a comment is published as well."""
    lines = Path(path).read_text(errors="replace").splitlines()
    commented = [(number, line) for number, line in enumerate(lines, 1) if "#" in line]
    for secret in _process_line_based_plugins(lines=commented, filename=path):
        yield path, secret


def _problems(found: Iterable[tuple[str, Any]], known: Collection[tuple[str, str]]) -> Iterator[Diagnostic]:
    for file, secret in found:
        if (file, secret.secret_hash) in known:
            continue
        line = _line_of(Path(file), secret)
        message = f"looks like a secret ({secret.type}); refer to one, or mark the line `# pragma: allowlist secret`"
        yield codes.SECRET.at(Span(file, line, 1), message)


def _line_of(path: Path, secret: Any) -> int:
    """The line that holds the value: for YAML the scanner counts its own lines, not the file's."""
    lines = path.read_text(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if secret.secret_value and secret.secret_value in line:
            return number
    return min(max(int(secret.line_number), 1), max(len(lines), 1))


def _baseline(root: Path) -> dict[str, Any]:
    path = root / BASELINE
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; take it from git, or make it anew") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is no baseline of detect-secrets; take it from git, or make it anew")
    return document


def _settings(baseline: dict[str, Any]) -> dict[str, Any]:
    every: Any = get_mapping_from_secret_type_to_class().values()
    plugins = baseline.get("plugins_used") or [{"name": plugin.__name__} for plugin in every]
    filters = {entry["path"]: entry for entry in baseline.get("filters_used", _default_filters())}
    filters.pop(_VERIFIES, None)
    lines = filters.get(_LINES, {}).get("pattern", [])
    filters[_LINES] = {"path": _LINES, "pattern": [*lines, *(f"(?i){pattern}" for pattern in _REFERENCES)]}
    return {"plugins_used": plugins, "filters_used": list(filters.values())}


def _default_filters() -> list[dict[str, Any]]:
    return [{"path": path} for path in get_settings().filters]
