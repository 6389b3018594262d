"""JSON Schema over parsed files: every violation of every file, each at the line that has to change.

`schemas/` is the single description of the configuration; this module finds each kind's schema there, compiles it when
first needed, and turns violations into diagnostics (their words are in `wording`). Defaults are the schema's too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Diagnostic
from reconcilers.load import codes, defaults, schema_paths, wording
from reconcilers.load.document import Document
from reconcilers.load.source_files import FOLDERS

MAX_PROBLEMS = 100
FOLDER_OF = {kind: folder for folder, kinds in FOLDERS.items() for kind in kinds}


@dataclass(slots=True)
class Schema:
    """One kind's schema: as data, compiled, and as a function that fills in its defaults."""

    kind: str
    path: Path
    data: dict[str, Any]
    _validator: Any = field(default=None, repr=False)
    _fill: defaults.Fill | None = field(default=None, repr=False)

    @property
    def validator(self) -> Any:
        """The compiled schema; formats (dates, addresses) are checked too."""
        if self._validator is None:
            try:
                self._validator = jsonschema_rs.validator_for(self.data, validate_formats=True)
            except ValueError as error:
                raise ConfigError(f"{self.path} is no valid JSON Schema: {error}") from error
        return self._validator

    def complete(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The valid document with the schema's defaults where it leaves something out."""
        if self._fill is None:
            self._fill = defaults.filler(self.data)
        filled = self._fill(value)
        assert isinstance(filled, dict)
        return filled


@lru_cache(maxsize=4)
def schemas(folder: Path) -> Mapping[str, Schema]:
    """Every config kind's schema, by kind; schemas of other things (plans, published files) have no `kind`."""
    found: dict[str, Schema] = {}
    for path in sorted(folder.glob("*.schema.json")):
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
        kind = data.get("properties", {}).get("kind", {}).get("const")
        if kind in FOLDER_OF:
            found[kind] = Schema(kind, path, data)
    if not found:
        raise ConfigError(f"{folder} holds no schema of a config kind; the installation is incomplete")
    return found


def kind_of(document: Document, folder: str) -> tuple[str, Diagnostic | None]:
    """The document's kind, if it is one of its folder's."""
    value = document.value
    allowed = FOLDERS[folder]
    wanted = " or ".join(f"`kind: {kind}`" for kind in allowed)
    if not isinstance(value, dict):
        message = f"the file holds {wording.type_of(value)}; it must be a mapping that begins with {wanted}"
        return "", codes.TYPE.at(document.span(()), message)
    kind = value.get("kind")
    if "kind" not in value:
        return "", codes.KIND.at(document.span(()), f"`kind` is missing; begin the file with {wanted}")
    if kind in allowed:
        return str(kind), None
    place = FOLDER_OF.get(kind) if isinstance(kind, str) else None
    step = f"move the file to config/{place}/" if place else f"write {wanted}"
    near = wording.did_you_mean(str(kind), allowed)
    message = f"kind {wording.show(kind)} does not belong in config/{folder}/{near}; {step}"
    return "", codes.KIND.at(document.span(("kind",)), message, end=document.end(("kind",)))


def validate(document: Document, schema: Schema) -> list[Diagnostic]:
    """Every violation, in file order; one per place and message, and of a generated mess only the first hundred."""
    if schema.validator.is_valid(document.value):
        return []
    found: dict[tuple[object, str, str], Diagnostic] = {}
    errors = list(islice(schema.validator.iter_errors(document.value), MAX_PROBLEMS))
    wrong = {tuple(error.instance_path) for error in errors if not schema_paths.conditions(schema.data, error)}
    for error in errors:
        if any(where in wrong for where in schema_paths.conditions(schema.data, error)):
            continue
        for problem in islice(wording.problems(document, schema.data, error), MAX_PROBLEMS - len(found)):
            found.setdefault((problem.span, problem.code, problem.message), problem)
    return _without_consequences(sorted(found.values(), key=lambda problem: (problem.span, problem.code)))


def _without_consequences(problems: list[Diagnostic]) -> list[Diagnostic]:
    """A value of the wrong type, or not of the list, fails conditions at the same place too: say it once."""
    primary = {p.span for p in problems if p.code in (codes.TYPE.code, codes.VALUE.code, codes.RANGE.code)}
    kept: list[Diagnostic] = []
    seen: set[object] = set()
    order = {codes.TYPE.code: 0, codes.FORBIDDEN.code: 1}
    for problem in sorted(problems, key=lambda p: (p.span, order.get(p.code, 2))):
        once = problem.code in (codes.TYPE.code, codes.VALUE.code, codes.RANGE.code)
        if once and problem.span in seen:
            continue
        if problem.code == codes.FORBIDDEN.code and problem.span in primary:
            continue
        if once:
            seen.add(problem.span)
        kept.append(problem)
    return kept
