"""An acknowledgement outside of git, for an emergency: the same kind of file, held to the same schema."""

from __future__ import annotations

from pathlib import Path

from reconcilers.core.errors import ConfigError, UsageError
from reconcilers.fleet.model import Entity
from reconcilers.load import build, parse, schema, source_files
from reconcilers.load.fleet import SCHEMAS

_FOLDER = "acks"


def read(path: Path) -> Entity:
    """The acknowledgement in a file. Raises `UsageError` for none, `ConfigError` with the problems of a bad one."""
    source = source_files.Source(str(path), str(path), _FOLDER)
    data, unreadable = source_files.read(source, path.absolute().parent)
    if unreadable:
        raise UsageError(f"--ack {path}: {unreadable.message}")
    document, problems = parse.parse(data, source.file)
    if document is not None:
        kind, wrong = schema.kind_of(document, _FOLDER)
        known = schema.schemas(SCHEMAS)
        problems = [wrong] if wrong else schema.validate(document, known[kind])
        if not problems:
            built, problems = build.build(document, kind, known[kind].complete(document.value))
            if isinstance(built, Entity):
                return built
    raise ConfigError(f"--ack {path}: it is no valid acknowledgement", problems)
