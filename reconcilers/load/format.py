"""`mlab fmt`: files in one form, changed as little as that takes.

The schema's line comes first, keys stand in the schema's order, words that a reader of YAML 1.1 takes for booleans are
quoted, lines end in a line feed without spaces before it. Everything else stays as people wrote it, comments with the
key that they stand above. The edits are made in the text at the places that the parser reports, not by printing the
values anew: round-trip printers attach a comment to the line before it, and would move it away from its key.
After the edits the file is read again; if its value changed, that is our fault and the file stays as it was.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconcilers.core.errors import ConfigError
from reconcilers.core.model import Diagnostic
from reconcilers.load import key_order, parse, scalars, schema, source_files
from reconcilers.load.document import Document, Node
from reconcilers.load.fleet import SCHEMAS

_SCHEMA_LINE = "# yaml-language-server: $schema="


@dataclass(frozen=True, slots=True)
class Formatted:
    """Files that are not, or were not, in the form; files that cannot be formatted have problems."""

    changed: tuple[str, ...]
    problems: tuple[Diagnostic, ...]


def format_tree(root: Path, *, only: Collection[Path] | None = None, write: bool = False) -> Formatted:
    """Bring the files of config/ into the form, or just name those that are not in it."""
    known = schema.schemas(SCHEMAS)
    sources, found = source_files.find(root)
    problems = list(found) if only is None else []
    wanted = None if only is None else {(path if path.is_absolute() else root / path).absolute() for path in only}
    changed: list[str] = []
    for source in sources:
        if wanted is not None and Path(source.path).absolute() not in wanted:
            continue
        data, unreadable = source_files.read(source, root)
        if unreadable:
            problems.append(unreadable)
            continue
        try:
            after = format_file(data, source, known)
        except ConfigError as error:
            problems += error.problems
            continue
        if after != data:
            changed.append(source.file)
            if write:
                _replace(Path(source.path), after)
    return Formatted(tuple(changed), tuple(sorted(problems, key=lambda problem: problem.span)))


def format_file(data: bytes, source: source_files.Source, known: Mapping[str, schema.Schema]) -> bytes:
    """The file in its form. Raises `ConfigError` with the problems of a file that cannot be read as what it is."""
    document = _parse(data, source.file)
    kind, wrong = schema.kind_of(document, source.folder)
    if wrong:
        raise ConfigError(f"{source.file} has no kind", [wrong])
    text = _head(_lines(document), known[kind].path.name)
    text = _quoted(_parse(text.encode(), source.file))
    text = key_order.ordered(text, source.file, known[kind].data)
    result = text.encode()
    if _parse(result, source.file).value != document.value:
        raise AssertionError(f"formatting {source.file} would change its value")
    return result


def _parse(data: bytes, file: str) -> Document:
    document, problems = parse.parse(data, file)
    if document is None:
        raise ConfigError(f"{file} cannot be parsed", problems)
    return document


def _lines(document: Document) -> str:
    """Line feeds only, no spaces at line ends (unless they are part of a text), one line feed at the end."""
    text = document.text.replace("\r\n", "\n")
    bare = "".join(f"{line.rstrip()}\n" for line in text.rstrip().split("\n"))
    again, _ = parse.parse(bare.encode(), document.file)
    return bare if again is not None and again.value == document.value else text


def _head(text: str, schema_file: str) -> str:
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), len(lines))
    head = [line for line in lines[:first] if not line.startswith("# yaml-language-server:")]
    return "\n".join([f"{_SCHEMA_LINE}../../schemas/{schema_file}", *head, *lines[first:]])


def _quoted(document: Document) -> str:
    """Quotes around plain words that YAML 1.1 does not read as text; keys too."""
    text = document.text
    for start, end in sorted(_ambiguous(document.root, document.value), reverse=True):
        text = f'{text[:start]}"{text[start:end]}"{text[end:]}'
    return text


def _ambiguous(node: Node, value: object) -> Iterator[tuple[int, int]]:
    if isinstance(value, str):
        if node.start.style == "" and scalars.needs_quotes(value):
            yield node.start.start_mark.index, node.start.end_mark.index
    elif isinstance(value, dict):
        for key, event in node.keys.items():
            if event.style == "" and scalars.needs_quotes(key):
                yield event.start_mark.index, event.end_mark.index
            yield from _ambiguous(node.children[key], value[key])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _ambiguous(node.children[index], item)


def _replace(path: Path, data: bytes) -> None:
    """Write beside and rename, with the mode kept: a reader never sees half a file."""
    path = Path(os.path.realpath(path))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.chmod(path.stat().st_mode & 0o777)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
