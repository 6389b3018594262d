"""How one differing field is shown: short values in a line, texts as a unified diff, blobs by digest and size."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from reconcilers.core.model import Field

MAX_BYTES = 500
MAX_LINES = 20
DIFF_LINES = 40
MAX_WIDTH = 240


def path(found: Field) -> str:
    """`spec.template.containers.ndt.image`; a key with a dot in it is bracketed."""
    parts = ""
    for step in found.path:
        if isinstance(step, int) or "." in step or "/" in step:
            parts += f"[{step}]"
        else:
            parts += f".{step}" if parts else step
    return parts or "(all)"


def lines(found: Field) -> Iterator[str]:
    """The field as text: `PATH  BEFORE -> AFTER`, or a heading and the lines of a diff."""
    if found.sensitive:
        apart = found.before != found.after  # without a key all look alike
        shown = f"{_short(found.before)} -> {_short(found.after)}" if apart else "(sensitive, changed)"
        yield f"{path(found)}  {shown}"
        return
    before, after = found.before, found.after
    if not (_long(before) or _long(after)):
        yield f"{path(found)}  {_short(before)} -> {_short(after)}"
    elif isinstance(before, str) and isinstance(after, str):
        yield from _text_diff(path(found), before, after)
    elif before is None or after is None:
        yield f"{path(found)}  {_blob(before)} -> {_blob(after)}"
    else:
        yield from _text_diff(path(found), _pretty(before), _pretty(after))


def _text_diff(name: str, before: str, after: str) -> Iterator[str]:
    old, new = before.splitlines(), after.splitlines()
    # Beside lines that are records of their own, the neighbours explain nothing.
    context = 0 if max(map(len, [*old, *new]), default=0) > MAX_WIDTH else 3
    diff = list(difflib.unified_diff(old, new, n=context, lineterm=""))[2:]
    yield f"{name}  {_blob(before)} -> {_blob(after)}"
    for line in _narrowed(diff[:DIFF_LINES]):
        yield f"    {line}"
    if len(diff) > DIFF_LINES:
        yield f"    … {len(diff) - DIFF_LINES} more lines; `mlab plan --json` has them all"


def _narrowed(diff: Sequence[str]) -> Iterator[str]:
    """Long lines cut to what differs: a removed one beside the added one that took its place, others at their start."""
    at = 0
    while at < len(diff):
        gone = list(itertools.takewhile(lambda line: line.startswith("-"), diff[at:]))
        come = list(itertools.takewhile(lambda line: line.startswith("+"), diff[at + len(gone) :]))
        if not gone and not come:
            yield _cut(diff[at], 1)
            at += 1
            continue
        starts = [_first_difference(one, other) for one, other in zip(gone, come, strict=False)]
        starts += [1] * abs(len(gone) - len(come))
        yield from map(_cut, gone, starts)
        yield from map(_cut, come, starts)
        at += len(gone) + len(come)


def _first_difference(one: str, other: str) -> int:
    pairs = zip(one[1:], other[1:], strict=False)
    return next((at for at, (mine, yours) in enumerate(pairs, 1) if mine != yours), min(len(one), len(other)))


def _cut(line: str, start: int) -> str:
    if len(line) <= MAX_WIDTH:
        return line
    first = max(1, start - MAX_WIDTH // 3)
    before = "…" if first > 1 else ""
    after = "…" if first + MAX_WIDTH < len(line) else ""
    return f"{line[0]}{before}{line[first : first + MAX_WIDTH]}{after}"


def _long(value: Any) -> bool:
    text = value if isinstance(value, str) else _dump(value)
    return len(text.encode()) > MAX_BYTES or text.count("\n") > MAX_LINES


def _short(value: Any) -> str:
    if value is None:
        return "(absent)"
    return value if isinstance(value, str) and value and "\n" not in value else _dump(value)


def _blob(value: Any) -> str:
    if value is None:
        return "(absent)"
    data = (value if isinstance(value, str) else _dump(value)).encode()
    size = f"{len(data)} B" if len(data) < 1024 else f"{len(data) / 1024:.0f} KiB"
    return f"sha256 {hashlib.sha256(data).hexdigest()[:8]}, {size}"


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _pretty(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1)
