"""What a document means on this machine: its templates evaluated in the order vars, files, env, commands. Pure.

Each step sees the results of the ones before it, and vars see the command line alone. `evaluated` gives the JSON that
a report carries and a dry run prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from node.boot import cmdline, document, template, words
from node.boot.errors import BadDocument

_KERNEL_LINE = ("--command-line=", "--append=")


class Wanted(NamedTuple):
    """A file to fetch, its URL evaluated."""

    name: str
    url: str
    sha256: str


def variables(doc: document.Document, kargs: Mapping[str, str]) -> dict[str, str]:
    return {name: template.render(text, kargs, {}) for name, text in doc.vars.items()}


def files(doc: document.Document, kargs: Mapping[str, str], made: Mapping[str, str]) -> list[Wanted]:
    """In the order of their names, so that two boots ask in the same order."""
    found = []
    for name, spec in sorted(doc.files.items()):
        found.append(Wanted(name, template.render(spec.url, kargs, {"vars": made}), spec.sha256))
    return found


def data(made: Mapping[str, str], wanted: list[Wanted], path: Callable[[Wanted], str]) -> dict[str, Any]:
    """The namespaces of env and commands; `path` says where a file was put."""
    table = {one.name: {"name": path(one), "url": one.url, "sha256": one.sha256} for one in wanted}
    return {"vars": dict(made), "files": table}


def environment(doc: document.Document, kargs: Mapping[str, str], names: Mapping[str, Any]) -> dict[str, str]:
    return {key: template.render(text, kargs, names) for key, text in doc.env.items()}


def commands(doc: document.Document, kargs: Mapping[str, str], names: Mapping[str, Any]) -> list[list[str]]:
    """All commands as words. A text is evaluated and then split; the words of a list are evaluated and stay whole."""
    found: list[list[str]] = []
    for command in doc.commands:
        if isinstance(command, str):
            split = words.split(template.render(command, kargs, names))
            if split:
                found.append(split)
        else:
            found.append([template.render(word, kargs, names) for word in command])
    for line in (word.partition("=")[2] for command in found for word in command if word.startswith(_KERNEL_LINE)):
        if len(line.encode()) > cmdline.MAX_BYTES:
            raise BadDocument(
                f"a kernel command line of {len(line.encode())} bytes: the kernel takes {cmdline.MAX_BYTES}; "
                "the host has too many extensions, or names that are too long"
            )
    return found


def evaluated(
    kargs: Mapping[str, str], names: Mapping[str, Any], env: Mapping[str, str], run: list[list[str]]
) -> dict[str, Any]:
    """The evaluated document with the command line, as JSON values."""
    v1 = {"vars": names["vars"], "files": names["files"], "env": dict(env), "commands": run}
    return {"kargs": dict(kargs), "v1": {key: value for key, value in v1.items() if value}}
