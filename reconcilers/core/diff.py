"""The difference of two JSON values, field by field.

Lists whose items all carry a unique `name` (containers, ports, volumes) are matched by that name, so that an inserted
container is one field and not a shift of all that follow; other lists are compared by position.

A sensitive value ends here: a field carries in its place that it is one, and a short keyed digest, so that a reviewer
can tell two values apart and an approval holds for one of them.
"""

from __future__ import annotations

import hashlib
import hmac
import marshal
from collections.abc import Collection, Iterator
from typing import Any

from reconcilers.core import canonical
from reconcilers.core.model import Field

Path = tuple[str | int, ...]
_ABSENT = object()


def fields(before: Any, after: Any, *, sensitive: Collection[Path] = (), key: bytes = b"") -> tuple[Field, ...]:
    """Every differing leaf in path order; what holds a sensitive path, or lies below one, is masked whole."""
    if _equal(before, after):
        return ()
    found = []
    for path, old, new in _walk((), before, after):
        if any(_touches(path, tuple(hidden)) for hidden in sensitive):
            found.append(Field(path, masked(_value(old), key), masked(_value(new), key), True))
        else:
            found.append(Field(path, _value(old), _value(new)))
    return tuple(found)


def _equal(before: Any, after: Any) -> bool:
    """Quick, and never wrong when it says yes: nearly everything that is compared has not changed."""
    try:
        # Equal values of equal types have equal bytes; version 2 is without references, which would tell copies apart.
        return bool(before == after) and marshal.dumps(before, 2) == marshal.dumps(after, 2)
    except ValueError:
        return False


def masked(value: Any, key: bytes) -> str | None:
    """`(sensitive 9c41e0d2)`; without a key just `(sensitive)`: a plain digest of a weak secret gives it away."""
    if value is None:
        return None
    digest = hmac.new(key, canonical.dumps(value).encode(), hashlib.sha256).hexdigest()[:8] if key else ""
    return f"(sensitive {digest})" if digest else "(sensitive)"


def _touches(path: Path, hidden: Path) -> bool:
    length = min(len(path), len(hidden))
    return path[:length] == hidden[:length]


def _value(value: Any) -> Any:
    return None if value is _ABSENT else value


def _walk(path: Path, before: Any, after: Any) -> Iterator[tuple[Path, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _walk((*path, key), before.get(key, _ABSENT), after.get(key, _ABSENT))
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        yield from _walk_lists(path, before, after)
    elif not _same(before, after):
        yield path, before, after


def _walk_lists(path: Path, before: Any, after: Any) -> Iterator[tuple[Path, Any, Any]]:
    old_names, new_names = _by_name(before), _by_name(after)
    if old_names is not None and new_names is not None and list(old_names) != list(new_names):
        if sorted(old_names) == sorted(new_names):  # only the order differs, and order may matter
            yield (*path, "order"), list(old_names), list(new_names)
        for name in sorted(old_names.keys() | new_names.keys()):
            yield from _walk((*path, name), old_names.get(name, _ABSENT), new_names.get(name, _ABSENT))
        return
    for index in range(max(len(before), len(after))):
        old = before[index] if index < len(before) else _ABSENT
        new = after[index] if index < len(after) else _ABSENT
        yield from _walk((*path, index), old, new)


def _by_name(items: Any) -> dict[str, Any] | None:
    if not items or not all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in items):
        return None
    named = {item["name"]: item for item in items}
    return named if len(named) == len(items) else None


def _same(before: Any, after: Any) -> bool:
    # True == 1 in Python but not in JSON.
    return before is after or (isinstance(before, bool) == isinstance(after, bool) and before == after)
