"""Secrets by reference: configuration names where one is (`file:/path`, `env:NAME`), a provider resolves it last.

A resolved value prints as stars and is known to the redactor from then on, so that an error text that quotes a server
quoting the value does not carry it into a log, a plan or an audit record.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from reconcilers.core.errors import Permanent

MASK = "(redacted)"
MIN_REDACTED = 6
"""Shorter values are not redacted: a text would lose ordinary syllables and tell the value by its gaps."""
_KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/=]{32,}")

_known: set[str] = set()
_pattern: re.Pattern[str] | None = None
_guard = threading.Lock()


class Secret:
    """A resolved value with its reference; only `reveal` gives the value away."""

    __slots__ = ("_value", "ref")

    def __init__(self, value: str, ref: str) -> None:
        self._value = value
        self.ref = ref
        register(value)

    def reveal(self) -> str:
        """The value: pass it on at once, keep it nowhere."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.ref})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self.ref)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised; pass its reference")


def resolve(ref: str | Mapping[str, Any]) -> Secret:
    """The secret behind `file:/path`, `env:NAME` or `{secretRef: ...}`. Raises `Permanent` without any value."""
    text = ref.get("secretRef") if isinstance(ref, Mapping) else ref
    kind, _, place = text.partition(":") if isinstance(text, str) else ("", "", "")
    if kind == "file" and place:
        return Secret(_from_file(place), f"file:{place}")
    if kind == "env" and place:
        value = os.environ.get(place, "")
        if not value:
            raise Permanent(f"secret env:{place}: the variable is not set or empty; export it and run again")
        return Secret(value.rstrip("\r\n"), f"env:{place}")
    # The text itself is not shown: someone may have put the value where its reference belongs.
    raise Permanent("a secret must be given as secretRef: file:/PATH or env:NAME; this one is neither")


def register(value: str) -> None:
    """Redact this value from now on, as JSON writes it too; of a long text (a PEM file) also each run of keys."""
    global _pattern
    found = {value, json.dumps(value)[1:-1]} | set(_KEY_MATERIAL.findall(value) if "\n" in value else ())
    found = {item for item in found if len(item) >= MIN_REDACTED}
    with _guard:
        if found <= _known:
            return
        _known.update(found)
        longest_first = sorted(_known, key=lambda item: (-len(item), item))
        _pattern = re.compile("|".join(re.escape(item) for item in longest_first))


def redact(text: str) -> str:
    """The text without any registered value."""
    pattern = _pattern
    return text if pattern is None else pattern.sub(MASK, text)


class Redactor(logging.Filter):
    """A filter for a log handler: the finished message, and its trace, without any registered value."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def _from_file(place: str) -> str:
    try:
        value = Path(place).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise Permanent(f"secret file:{place}: it is not text in UTF-8") from None
    except OSError as error:
        raise Permanent(f"secret file:{place}: {error.strerror}; create it or correct the reference") from None
    if not value:
        raise Permanent(f"secret file:{place}: it is empty")
    return value
