"""A problem in other forms than its line: JSON, an annotation of a CI run, a snippet of the file.

The line is the diagnostic's own (`Diagnostic.line`). The shapes are stable: programs read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reconcilers.core.model import Diagnostic, Span
from reconcilers.load.source_files import MAX_BYTES

_SCALAR = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[^\s,\]\}#:][^,\]\}#\n]*")
_MAX_WIDTH = 160
_MAX_RELATED = 5
_CI_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_CI_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def as_json(problem: Diagnostic) -> dict[str, Any]:
    """One problem as JSON: what, where from and to, what else it concerns, what to do."""
    start = {"line": max(problem.span.line, 1), "column": max(problem.span.column, 1)}
    line, column = problem.end
    return {
        "severity": problem.severity,
        "id": problem.name,
        "code": problem.code,
        "message": problem.message,
        "file": problem.span.file,
        "range": {"start": start, "end": {"line": line, "column": column} if line else dict(start)},
        "related": [
            {"file": span.file, "line": max(span.line, 1), "column": max(span.column, 1), "message": text}
            for span, text in problem.related
        ],
        "hint": problem.hint,
        "error_from": problem.error_from.isoformat() if problem.error_from else None,
    }


def annotation(problem: Diagnostic) -> str:
    """`::error file=F,line=L,col=C,title=ID::MESSAGE`, which CI shows in the diff."""
    level = {"error": "error", "warning": "warning"}.get(problem.severity, "notice")
    until = f" (an error from {problem.error_from})" if problem.error_from else ""
    text = problem.message + until + (f" ({problem.hint})" if problem.hint else "")
    return command(level, f"{problem.code} {problem.name}", text, problem.span)


def command(level: str, title: str, message: str, span: Span | None = None) -> str:
    """One workflow command, at a place if there is one."""
    where = ""
    if span is not None and span.file:
        line, column = max(span.line, 1), max(span.column, 1)
        where = f"file={span.file.translate(_CI_PROPERTY)},line={line},col={column},"
    return f"::{level} {where}title={title.translate(_CI_PROPERTY)}::{message.translate(_CI_DATA)}"


def snippet(problem: Diagnostic, root: Path) -> list[str]:
    """The line of the file with the place underlined, related places, and the remedy."""
    lines: list[str] = []
    source = _line(root, problem.span)
    if source:
        lines += _underlined(source, problem)
    for span, text in problem.related[:_MAX_RELATED]:
        lines.append(f"  also: {span}: {text}")
    if problem.hint:
        lines.append(f"  fix: {problem.hint}")
    lines.append(f"  see: mlab explain {problem.name}")
    return lines


def text(problems: Iterable[Diagnostic], root: Path | None = None) -> str:
    """All problems, one line each; with a root, each followed by its snippet."""
    lines: list[str] = []
    for problem in problems:
        lines.append(problem.line())
        if root is not None:
            lines += snippet(problem, root)
    return "".join(f"{line}\n" for line in lines)


def _line(root: Path, span: Span) -> str:
    """One line of a file that may be anything: read with the loader's limit, never raised from."""
    if span.line < 1:
        return ""
    path = root / span.file
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return ""
        lines = path.read_bytes().decode(errors="replace").split("\n")
    except OSError:
        return ""
    if span.line > len(lines):
        return ""
    return "".join(char if char.isprintable() else " " for char in lines[span.line - 1].rstrip("\r"))


def _underlined(source: str, problem: Diagnostic) -> list[str]:
    column = min(max(problem.span.column, 1), len(source) + 1)
    end_line, end_column = problem.end
    if end_line == problem.span.line and end_column > column:
        width = end_column - column
    else:
        match = _SCALAR.match(source, column - 1)
        width = len(match.group().rstrip()) if match else 1
    offset = max(0, column - 1 - _MAX_WIDTH // 2) if len(source) > _MAX_WIDTH else 0
    shown = source[offset : offset + _MAX_WIDTH]
    number = str(problem.span.line)
    room = max(1, min(width, len(shown) - (column - 1 - offset)))
    return [
        f"  {number} | {shown}",
        f"  {' ' * len(number)} | {' ' * (column - 1 - offset)}{'^' * room}",
    ]
