"""Takes secrets out of text before it is printed, logged or reported. Pure.

Secrets of a boot are the session ids inside the URLs of the kernel command line, whatever a query string carries, the
tokens of the cluster, and keys. Ids are found by their value, so that they vanish outside of URLs as well; everything
else by its form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

HIDDEN = "…"
_ID = re.compile(r"[A-Za-z0-9_-]{20,}")
_SESSION = re.compile(r"(/v1/boot/[^/\s?#]+/)([^/\s?#\"'<>]+)(?=/)")
_FORMS = (
    (re.compile(r"(?<![a-z0-9.])([a-z0-9]{6})\.[a-z0-9]{16}(?![a-z0-9])"), r"\1." + HIDDEN),
    (re.compile(r"(?i)(\bbearer\s+)[!-~]+"), r"\1" + HIDDEN),
    (re.compile(r"([a-z][a-z0-9+.-]*://)[^/@\s\"']+@"), r"\1" + HIDDEN + "@"),
    (re.compile(r"([a-z][a-z0-9+.-]*://[^\s?\"'<>]*\?)[^\s#\"'<>]+"), r"\1" + HIDDEN),
    (re.compile(r"(?i)(\"?\b(?:pass(?:word|wd)?|token|secret)\"?\s*[=:]\s*\"?)[^\s\"',;&]+"), r"\1" + HIDDEN),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
)
"""`id.secret` of a bootstrap token keeps its id, by which the cluster names the token openly."""


def secrets(kargs: Mapping[str, str]) -> tuple[str, ...]:
    """The session ids in a command line: long segments of the paths of its URLs."""
    found: set[str] = set()
    for value in kargs.values():
        if value.startswith(("http://", "https://")):
            path = re.sub(r"[?#].*", "", value.split("://", 1)[1]).split("/")[1:]
            found.update(segment for segment in path if _ID.fullmatch(segment))
            found.update(match[2] for match in _SESSION.finditer(value))
    return tuple(sorted(found, key=lambda secret: (-len(secret), secret)))


def redactor(known: Iterable[str]) -> Callable[[str], str]:
    """A function from text to the text without these secrets and without anything that looks like one."""
    values = tuple(value for value in known if value)

    def clean(text: str) -> str:
        for value in values:
            text = text.replace(value, HIDDEN)
        text = _SESSION.sub(r"\1" + HIDDEN, text)
        for form, instead in _FORMS:
            text = form.sub(instead, text)
        return text

    return clean


def tree(value: Any, clean: Callable[[str], str]) -> Any:
    """JSON values with every text cleaned, keys included."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(key): tree(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [tree(item, clean) for item in value]
    return value


def document(value: Any, clean: Callable[[str], str]) -> str:
    """JSON text of cleaned values, in the layout of action documents."""
    return json.dumps(tree(value, clean), indent=4, ensure_ascii=False)
