"""The plain scalars of YAML 1.2's core schema, and the forms that YAML 1.1 reads otherwise.

Editors, linters and other people's programs still read YAML 1.1, where `NO` is false, `010` is eight and `12:30` is
seven hundred and fifty. Words (`NO`, `on`, `yes`) and dates stay strings here, as 1.2 says: a schema that wants a
string gets one. A plain scalar that looks like a number and means different ones, or a number to one reader and a
string to another, is refused with the way to write it.
"""

from __future__ import annotations

import math
import re

_NULL = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORDS: dict[str, bool | None] = {**_NULL, **_BOOL}
_NUMERIC_START = frozenset("0123456789+-.")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"(?:[-+]?(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?\Z")
_MAX_DIGITS = 18
_REFUSED = (
    (re.compile(r"[-+]?0[0-9_]+\Z"), "is octal to YAML 1.1 and decimal to 1.2"),
    (re.compile(r"[-+]?0[0-9]+\.[0-9]*\Z"), "has a leading zero"),
    (re.compile(r"[-+]?0o[0-7]+\Z"), "is octal to YAML 1.2 and text to 1.1"),
    (re.compile(r"[-+]?0b[01_]+\Z"), "is binary to YAML 1.1 and text to 1.2"),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+\Z"), "is a number in base 16"),
    (re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?\Z"), "is a number to YAML 1.1 and text to 1.2"),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z"), "is a base-60 number to YAML 1.1"),
    (re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+\Z"), "is a number to YAML 1.2 and text to 1.1"),
    (re.compile(r"[-+]\.[0-9]+\Z"), "is a number to YAML 1.2 and text to 1.1"),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z"), "is no number that JSON can hold"),
)
_YAML11_WORDS = re.compile(r"(?:y|n|yes|no|on|off)\Z", re.IGNORECASE)


class Ambiguous(ValueError):
    """A plain scalar that two readers of YAML take differently; the text says how."""


def plain(text: str) -> str | int | float | bool | None:
    """The value of a plain (unquoted) scalar. Raises `Ambiguous`."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START:
        return text
    if _INT.match(text):
        if len(text) > _MAX_DIGITS:
            raise Ambiguous(f"has {len(text)} characters, above the {_MAX_DIGITS} of a number")
        return int(text)
    if _FLOAT.match(text):
        value = float(text)
        if not math.isfinite(value):
            raise Ambiguous("is no number that JSON can hold")
        return value
    for pattern, why in _REFUSED:
        if pattern.match(text):
            raise Ambiguous(why)
    return text


def needs_quotes(text: str) -> bool:
    """Whether a string, written plain, would be read as something else by a reader of YAML 1.1 or 1.2."""
    if _YAML11_WORDS.match(text) or text in ("=", "<<"):
        return True
    try:
        return not isinstance(plain(text), str)
    except Ambiguous:
        return True
