"""How one differing field is shown: short values in a line, texts as a unified diff, blobs by digest and size."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from reconcilers.core.model import Field

MAX_BYTES = 500
MAX_LINES = 20
DIFF_LINES = 40


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
        yield f"{path(found)}  (sensitive, changed)"
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
    if max(map(len, [*old, *new]), default=0) > MAX_BYTES:  # one endless line: a diff of it says nothing
        yield f"{name}  {_blob(before)} -> {_blob(after)}"
        return
    diff = [line for line in difflib.unified_diff(old, new, n=3, lineterm="") if not line.startswith(("---", "+++"))]
    yield f"{name}  {_blob(before)} -> {_blob(after)}"
    for line in diff[:DIFF_LINES]:
        yield f"    {line}"
    if len(diff) > DIFF_LINES:
        yield f"    … {len(diff) - DIFF_LINES} more lines; `mlab plan --json` has them all"


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
