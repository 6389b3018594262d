"""An action document ("nextboot" v1) from bytes to values, and the values back to JSON. Pure.

    {"kargs": {…}, "v1": {"chain": "URL"}}                      or
    {"v1": {"vars": {…}, "files": {…}, "env": {…}, "commands": […]}}

A chain that is not empty makes everything else in the document unimportant; `chain_sha256` beside it, which our
server adds where a release is signed, says which document that must be. Unknown keys are ignored. A document
without `v1` is an error: the original's client ended in a panic there, and the machine hung.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from node.boot.errors import BadDocument

MAX_BYTES = 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


class File(NamedTuple):
    """A file to fetch; `url` is still a template. `sha256` is lower case hexadecimal, or empty."""

    url: str
    sha256: str


class Document(NamedTuple):
    """What one document says. A command is a template that is split afterwards, or a tuple of templates."""

    kargs: Mapping[str, str]
    chain: str
    chain_sha256: str
    vars: Mapping[str, str]
    files: Mapping[str, File]
    env: Mapping[str, str]
    commands: tuple[str | tuple[str, ...], ...]


def parse(body: bytes, where: str) -> Document:
    """Read one document; `where` names it in errors. Raises `BadDocument`."""
    if len(body) > MAX_BYTES:
        raise BadDocument(f"{where}: the document has more than {MAX_BYTES} bytes")
    try:
        root = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"{where}: not JSON: {error}") from None
    v1 = _table(root, "", where).get("v1")
    if v1 is None:
        raise BadDocument(f"{where}: the document has no v1; is this the address of an action document?")
    v1 = _table(v1, "v1", where)
    kargs = _texts(root.get("kargs"), "kargs", where)
    chain = v1.get("chain") or ""
    if not isinstance(chain, str):
        raise BadDocument(f"{where}: v1.chain: {_kind(chain)} is not a text")
    if chain:
        return Document(kargs, chain, _hash(v1.get("chain_sha256"), "v1.chain_sha256", where), {}, {}, {}, ())
    variables = {
        name: _variable(value, f"v1.vars.{name}", where)
        for name, value in _table(v1.get("vars"), "v1.vars", where).items()
    }
    files = {
        name: _file(value, f"v1.files.{name}", where)
        for name, value in _table(v1.get("files"), "v1.files", where).items()
    }
    env = _texts(v1.get("env"), "v1.env", where)
    return Document(kargs, "", "", variables, files, env, _commands(v1.get("commands"), where))


def _table(value: Any, key: str, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise BadDocument(f"{where}: {key or 'the document'}: {_kind(value)} is not an object")


def _texts(value: Any, key: str, where: str) -> dict[str, str]:
    found = _table(value, key, where)
    for name, text in found.items():
        if not isinstance(text, str):
            raise BadDocument(f"{where}: {key}.{name}: {_kind(text)} is not a text")
    return found


def _variable(value: Any, key: str, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    raise BadDocument(f"{where}: {key}: unsupported type: {_kind(value)}; a text or a list of texts")


def _file(value: Any, key: str, where: str) -> File:
    spec = _texts(value, key, where)
    if not spec.get("url"):
        raise BadDocument(f"{where}: {key}: URL key not found in file spec")
    return File(spec["url"], _hash(spec.get("sha256"), f"{key}.sha256", where))


def _hash(value: Any, key: str, where: str) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str) and _SHA256.fullmatch(value.lower()):
        return value.lower()
    raise BadDocument(f"{where}: {key}: {str(value)[:80]!r} is not 64 hexadecimal digits")


def _commands(value: Any, where: str) -> tuple[str | tuple[str, ...], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadDocument(f"{where}: v1.commands: {_kind(value)} is not a list")
    found: list[str | tuple[str, ...]] = []
    for index, command in enumerate(value):
        if isinstance(command, str):
            found.append(command)
        elif isinstance(command, list) and command:
            found.append(tuple(_word(word, f"v1.commands[{index}]", where) for word in command))
    return tuple(found)


def _word(value: Any, key: str, where: str) -> str:
    """A word of a list: texts as they are, numbers and truth values as JSON writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise BadDocument(f"{where}: {key}: {_kind(value)} is not a word")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
