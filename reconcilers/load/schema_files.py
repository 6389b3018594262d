"""Keeps `schemas/` and what is made from it in step: one valid schema a kind, in one layout, and the editor's settings.

The schemas are the one description of the configuration. What an editor needs to find them without the line at the top
of each file, `.vscode/settings.json`, is made from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs

from reconcilers.core.model import Diagnostic, Span
from reconcilers.load import codes
from reconcilers.load.source_files import FOLDERS

FOLDER = "schemas"
SUFFIX = ".schema.json"
SETTINGS = ".vscode/settings.json"
_STEP = "run `mlab schema --write`"


def check(root: Path, folder: Path) -> list[Diagnostic]:
    """Everything that is not in step. `folder` holds the schemas; problems are named relative to the root."""
    found: list[Diagnostic] = []
    kinds: dict[str, str] = {}
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        file = f"{FOLDER}/{path.relative_to(folder).as_posix()}"
        try:
            text = path.read_text()
            data = json.loads(text)
        except (OSError, ValueError) as error:
            line = getattr(error, "lineno", 1)
            found.append(codes.SCHEMA_FILE.at(Span(file, line, getattr(error, "colno", 1)), f"is no JSON: {error}"))
            continue
        found += _one(file, text, data, kinds)
    wanted = {kind for kinds_of_folder in FOLDERS.values() for kind in kinds_of_folder}
    for kind in sorted(wanted - kinds.keys()):
        found.append(codes.SCHEMA_FILE.at(Span(FOLDER), f"no schema describes kind {kind}; write one"))
    settings = root / SETTINGS
    if not settings.is_file() or settings.read_text() != editor_settings(folder):
        found.append(codes.SCHEMA_FILE.at(Span(SETTINGS, 1, 1), f"is not what the schemas say; {_STEP}"))
    return found


def write(root: Path, folder: Path) -> list[str]:
    """Bring every schema that is valid JSON into the layout and make the editor's settings; the files that changed."""
    changed = []
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        text = path.read_text()
        try:
            after = _layout(json.loads(text))
        except ValueError:
            continue
        if after != text:
            path.write_text(after)
            changed.append(f"{FOLDER}/{path.relative_to(folder).as_posix()}")
    settings, wanted = root / SETTINGS, editor_settings(folder)
    if not settings.is_file() or settings.read_text() != wanted:
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(wanted)
        changed.append(SETTINGS)
    return changed


def editor_settings(folder: Path) -> str:
    """`yaml.schemas` of the YAML language server: which schema holds for which files."""
    globs: dict[str, Any] = {}
    for name, kinds in sorted(FOLDERS.items()):
        schemas = [file for file, kind in sorted(_kinds(folder).items()) if kind in kinds]
        if len(schemas) == 1:  # files of a folder with several kinds say in their first line which one is theirs
            globs[f"./{FOLDER}/{schemas[0]}"] = f"config/{name}/*.yaml"
    settings = {
        "files.insertFinalNewline": True,
        "files.trimTrailingWhitespace": True,
        "jsonnet.languageServer.jpath": ["jsonnet"],
        "yaml.schemas": globs,
    }
    return _layout(settings)


def _kinds(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            kind = _kind(json.loads(path.read_text()))
        except ValueError:
            continue
        if kind:
            found[path.name] = kind
    return found


def _kind(data: Any) -> str:
    kind = data.get("properties", {}).get("kind", {}) if isinstance(data, Mapping) else {}
    return str(kind.get("const", "")) if isinstance(kind, Mapping) else ""


def _one(file: str, text: str, data: Any, kinds: dict[str, str]) -> Iterator[Diagnostic]:
    try:
        jsonschema_rs.meta.validate(data)
        jsonschema_rs.validator_for(data)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        said = str(error).split("\n")[0]
        yield codes.SCHEMA_FILE.at(Span(file, 1, 1), f"is no valid JSON Schema: {said}")
        return
    if text != _layout(data):
        yield codes.SCHEMA_FILE.at(Span(file, 1, 1), f"is not laid out with two spaces; {_STEP}")
    kind = _kind(data)
    if kind and kind in kinds:
        message = f"kind {kind} is already described by {kinds[kind]}; remove one"
        yield codes.SCHEMA_FILE.at(Span(file, 1, 1), message)
    if kind:
        kinds.setdefault(kind, file)


def _layout(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
