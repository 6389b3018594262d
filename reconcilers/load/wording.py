"""What a person reads when a value does not fit its schema: what, the value, the limit, the next step, in one line.

Each violation is placed where the hand has to go: an unknown key at the key itself, a missing one at the mapping that
lacks it, anything else at the value. Alternatives (`anyOf`, `oneOf`) are reduced to the one that was meant.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconcilers.core.errors import one_line
from reconcilers.core.model import Diagnostic
from reconcilers.load import codes, schema_paths
from reconcilers.load.document import Document

Path = tuple[str | int, ...]
_KEYWORD_TYPES = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_KEYWORD_TYPES |= {"object": "a mapping", "array": "a list", "null": "null"}
_FORMATS = {
    "date": "date (YYYY-MM-DD)",
    "date-time": "time (2026-01-31T12:00:00Z)",
    "ipv4": "IPv4 address",
    "ipv6": "IPv6 address",
    "uri": "URL",
    "hostname": "host name",
    "email": "e-mail address",
    "regex": "regular expression",
}


def problems(document: Document, schema: Mapping[str, Any], error: Any) -> Iterator[Diagnostic]:
    """The diagnostics of one violation: several when one mapping has several unknown keys."""
    kind = error.kind.name
    path: Path = tuple(error.instance_path)
    if kind in ("additionalProperties", "unevaluatedProperties"):
        known = schema_paths.known_keys(schema, error)
        for key in error.kind.unexpected:
            span, end = document.key((*path, key))
            near = did_you_mean(key, known) or f"; allowed: {_listed(known)}"
            yield codes.UNKNOWN_KEY.at(span, f"unknown key `{one_line(key, 60)}`{_in(path)}{near}", end=end)
    elif kind in ("required", "dependentRequired"):
        span, end = document.parent(path)
        key = error.kind.property
        example = _example(schema_paths.property_of(schema, error, key))
        step = f"; add `{key}: {example}`" if example else f"; add `{key}:`"
        reason = _circumstance(document, schema, error)
        yield codes.MISSING_KEY.at(span, f"`{key}` is missing{_in(path)}{reason}{step}", end=end)
    elif kind == "propertyNames":
        inner = error.kind.error
        key = str(inner.instance)
        span, end = document.key((*path, key))
        limit = (_value_limit(inner, {}) or inner.message).removeprefix("which ")
        reason = _circumstance(document, schema, error)
        yield codes.UNKNOWN_KEY.at(span, f"key `{one_line(key, 60)}`{_in(path)} {limit}{reason}", end=end)
    elif kind in ("anyOf", "oneOf"):
        yield from _alternative(document, schema, error, path)
    else:
        yield _simple(document, schema, error, path, kind)


def _simple(document: Document, schema: Mapping[str, Any], error: Any, path: Path, kind: str) -> Diagnostic:
    span, end = document.span(path), document.end(path)
    what = f"`{dotted(path)}`" if path else "the file"
    value = show(error.instance)
    reason = _circumstance(document, schema, error)
    here = schema_paths.subschema(schema, error.schema_path[:-1])
    if kind == "falseSchema":
        span, end = document.key(path)
        message = f"{what} is not allowed{reason or ' here'}; remove it"
        return codes.FORBIDDEN.at(span, message, end=end)
    if kind == "type":
        wanted = " or ".join(_KEYWORD_TYPES.get(t, t) for t in error.kind.types)
        message = (
            f"{what} must be {wanted}, is {_typed(document, path, error)}{reason}{_type_step(document, path, error)}"
        )
        return codes.TYPE.at(span, message, end=end)
    if kind == "uniqueItems":
        position = _second(error.instance)
        at = (*path, position)
        message = f"{what} holds {show(error.instance[position])} twice; remove one"
        return codes.UNIQUE.at(document.span(at), message, end=document.end(at))
    if kind in _RANGES:
        return codes.RANGE.at(span, f"{what} {_RANGES[kind](error, value)}{reason}{_hint(here)}", end=end)
    limit = _value_limit(error, here)
    if limit:
        code = codes.FORBIDDEN if reason and kind in ("const", "enum", "not") else codes.VALUE
        return code.at(span, f"{what} is {value}, {limit}{reason}", end=end)
    return codes.VALUE.at(span, f"{what}: {one_line(error.message)}{reason}", end=end)


def _bound(word: str) -> Callable[[Any, str], str]:
    return lambda error, value: f"is {value}, {word} {_number(error.kind.limit)}"


def _count(word: str, unit: str) -> Callable[[Any, str], str]:
    def text(error: Any, _value: str) -> str:
        limit = error.kind.limit
        return f"has {len(error.instance)} {unit}, {word} the limit of {limit}"

    return text


_RANGES: Mapping[str, Callable[[Any, str], str]] = {
    "minimum": _bound("below the minimum of"),
    "maximum": _bound("above the maximum of"),
    "exclusiveMinimum": _bound("but must be above"),
    "exclusiveMaximum": _bound("but must be below"),
    "multipleOf": lambda error, value: f"is {value}, not a multiple of {_number(error.kind.multiple_of)}",
    "minLength": _count("below", "characters"),
    "maxLength": _count("above", "characters"),
    "minItems": _count("below", "items"),
    "maxItems": _count("above", "items"),
    "minProperties": _count("below", "keys"),
    "maxProperties": _count("above", "keys"),
}


def _value_limit(error: Any, here: Any) -> str:
    kind = error.kind.name
    if kind == "enum":
        options = [
            option if isinstance(option, str) and option else json.dumps(option) for option in error.kind.options
        ]
        near = did_you_mean(str(error.instance), options)
        return f"not one of {_listed(options)}{near}"
    if kind == "const":
        return f"must be {show(error.kind.expected_value)}"
    if kind == "pattern":
        return f"which does not match {one_line(error.kind.pattern, 80)}{_hint(here)}"
    if kind == "format":
        return f"which is no valid {_FORMATS.get(error.kind.format, error.kind.format)}"
    if kind == "not":
        denied = error.kind.schema
        words = denied.get("enum") or ([denied["const"]] if "const" in denied else None)
        return f"which is not allowed; anything but {_listed(map(str, words))}" if words else "which is not allowed"
    return ""


def _alternative(document: Document, schema: Mapping[str, Any], error: Any, path: Path) -> Iterator[Diagnostic]:
    """Of several alternatives, the one that came furthest; of alternatives of type, all types in one line."""
    branches = [branch for branch in getattr(error.kind, "context", []) if branch]
    if branches and all(branch[0].kind.name == "type" and not branch[0].instance_path for branch in branches):
        types = [t for branch in branches for t in branch[0].kind.types]
        wanted = " or ".join(_KEYWORD_TYPES.get(t, t) for t in types)
        message = f"`{dotted(path)}` must be {wanted}, is {_typed(document, path, error)}"
        yield codes.TYPE.at(document.span(path), message, end=document.end(path))
        return
    fitting = [branch for branch in branches if branch[0].kind.name != "type" or branch[0].instance_path]
    if fitting and all(branch[0].kind.name == "required" for branch in fitting) and len(fitting) > 1:
        span, end = document.parent(path)
        names = " or ".join(f"`{branch[0].kind.property}`" for branch in fitting)
        yield codes.MISSING_KEY.at(span, f"one of {names} is missing{_in(path)}; add one", end=end)
        return
    if fitting:
        best = max(fitting, key=lambda branch: max(len(inner.instance_path) for inner in branch))
        for inner in best:
            yield from problems(document, schema, _Placed(inner, path))
        return
    span, end = document.parent(path)
    message = f"`{dotted(path)}` fits more than one alternative; keep the keys of one only"
    yield codes.FORBIDDEN.at(span, message, end=end)


class _Placed:
    """An inner violation, at its place in the whole document."""

    def __init__(self, inner: Any, path: Path) -> None:
        self.kind, self.instance, self.message = inner.kind, inner.instance, inner.message
        own = tuple(inner.instance_path)
        self.instance_path = own if own[: len(path)] == path else (*path, *own)
        self.schema_path = inner.schema_path


def _circumstance(document: Document, schema: Mapping[str, Any], error: Any) -> str:
    """` while type is virtual`: the values that made a condition (`if`) apply."""
    found = ((where, _lookup(document.value, where)) for where in schema_paths.conditions(schema, error))
    facts = [f"{dotted(where)} is {show(value)}" for where, value in found if value is not _ABSENT]
    return f" while {' and '.join(facts)}" if facts else ""


_ABSENT = object()


def _lookup(value: Any, path: Path) -> Any:
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` when something known is near enough."""
    near = difflib.get_close_matches(word.lower(), {k.lower(): k for k in known}, 1, 0.6)
    if not near:
        return ""
    return f"; did you mean `{next(k for k in known if k.lower() == near[0])}`?"


def show(value: Any) -> str:
    """A value as JSON, short."""
    return one_line(json.dumps(value, ensure_ascii=False), 80)


def type_of(value: Any) -> str:
    """A value's type, in words."""
    if value is None:
        return "nothing (null)"
    for kind, word in ((bool, "a boolean"), (int, "a number"), (float, "a number"), (str, "text"), (list, "a list")):
        if isinstance(value, kind):
            return word
    return "a mapping"


def dotted(path: Iterable[str | int]) -> str:
    """`network.ipv4.prefix`, `placements[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return one_line(text, 120)


def _typed(document: Document, path: Path, error: Any) -> str:
    value = error.instance
    if isinstance(value, (dict, list)):
        return f"{type_of(value)}"
    written = one_line(document.source(path), 60) if document.is_plain(path) else show(value)
    return f"{type_of(value)}: {written}" if written and value is not None else type_of(value)


def _type_step(document: Document, path: Path, error: Any) -> str:
    value, types = error.instance, error.kind.types
    if "string" in types and isinstance(value, (bool, int, float)):
        return f'; quote it: "{one_line(document.source(path), 60)}"'
    if "boolean" in types and isinstance(value, str):
        return "; YAML 1.2 booleans are true and false, unquoted"
    if {"integer", "number"} & set(types) and isinstance(value, str) and not document.is_plain(path):
        return "; remove the quotes"
    return ""


def _hint(here: Any) -> str:
    example = _example(here)
    return f"; for example {example}" if example else ""


def _example(here: Any) -> str:
    examples = here.get("examples") if isinstance(here, dict) else None
    if not examples or isinstance(examples[0], (dict, list)):
        return ""
    return one_line(
        json.dumps(examples[0], ensure_ascii=False) if not isinstance(examples[0], str) else examples[0], 60
    )


def _second(items: Sequence[Any]) -> int:
    seen: set[str] = set()
    for index, item in enumerate(items):
        key = json.dumps(item, sort_keys=True)
        if key in seen:
            return index
        seen.add(key)
    return 0


def _listed(words: Iterable[str]) -> str:
    words = list(words)
    shown = ", ".join(words[:12])
    return shown + (f" and {len(words) - 12} more" if len(words) > 12 else "")


def _in(path: Path) -> str:
    return f" in `{dotted(path)}`" if path else ""


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
